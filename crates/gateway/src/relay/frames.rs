//! The frames that a gate writes itself.

use portcullis_boundary::close::{MAX_REASON, cut_reason};
use portcullis_boundary::session::{Closing, Side};

const FIN: u8 = 0x80;
const TEXT: u8 = 0x1;
const CLOSE: u8 = 0x8;
const PING: u8 = 0x9;
const MASKED: u8 = 0x80;

/// What stands before the counter in a ping's payload.
const PING_MARK: [u8; 4] = *b"pcls";

/// Bytes of payload in a ping of ours.
pub(crate) const PING_LENGTH: u64 = 8;

/// A close frame to `to`. To the upstream we are a client, and clients mask.
///
/// The mask hides nothing: it exists so that scripts cannot choose bytes on the wire (RFC 6455,
/// 10.3), and no script chose these. A fixed key is as good as any.
pub(crate) fn close_frame(to: Side, closing: &Closing) -> Vec<u8> {
    let mut payload = Vec::with_capacity(2 + MAX_REASON);
    payload.extend_from_slice(&closing.code.get().to_be_bytes());
    payload.extend_from_slice(cut_reason(closing.reason).as_bytes());
    control_frame(to, CLOSE, &payload)
}

/// The ping number `count`, to the client.
pub(crate) fn ping_frame(count: u32) -> Vec<u8> {
    control_frame(Side::Client, PING, &ping_payload(count))
}

/// Whether this is the payload of a ping of ours.
pub(crate) fn is_ping_payload(payload: &[u8]) -> bool {
    payload.len() == ping_payload(0).len() && payload.starts_with(&PING_MARK)
}

/// A text frame to the client.
pub(crate) fn text_frame(text: &str) -> Vec<u8> {
    let mut frame = vec![FIN | TEXT];
    match u8::try_from(text.len()) {
        Ok(length @ 0..=125) => frame.push(length),
        Ok(_) | Err(_) => {
            let length = u16::try_from(text.len()).unwrap_or(u16::MAX);
            frame.push(126);
            frame.extend_from_slice(&length.to_be_bytes());
        }
    }
    frame.extend_from_slice(text.as_bytes());
    frame
}

/// A pong to the client.
pub(crate) fn pong_frame(payload: &[u8]) -> Vec<u8> {
    control_frame(Side::Client, 0xA, payload)
}

fn ping_payload(count: u32) -> [u8; 8] {
    let mut payload = [0; 8];
    let (mark, number) = payload.split_at_mut(4);
    mark.copy_from_slice(&PING_MARK);
    number.copy_from_slice(&count.to_be_bytes());
    payload
}

fn control_frame(to: Side, opcode: u8, payload: &[u8]) -> Vec<u8> {
    let length = u8::try_from(payload.len()).unwrap_or(u8::MAX).min(125);
    let mut frame = Vec::with_capacity(usize::from(length) + 6);
    frame.push(FIN | opcode);
    match to {
        Side::Client => frame.push(length),
        // A mask of zeros is a mask.
        Side::Upstream => frame.extend_from_slice(&[MASKED | length, 0, 0, 0, 0]),
    }
    frame.extend(payload.iter().take(usize::from(length)));
    frame
}

#[cfg(test)]
mod tests {
    use portcullis_boundary::RefusalKind;
    use portcullis_boundary::clock::Moment;
    use portcullis_boundary::close::CloseCode;
    use portcullis_boundary::session::{Action, Event, Session, Terms};

    use super::*;

    fn closing() -> Closing {
        let mut session = Session::open(
            std::sync::Arc::new(Terms::default()),
            None,
            Moment::default(),
        );
        match session.handle(&Event::Order(RefusalKind::Expired), Moment::default()) {
            Action::Close(closing) => closing,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_close_has_code_and_reason_and_is_masked_for_the_upstream_only() {
        let closing = closing();
        assert_eq!(closing.code, CloseCode::new(4001).expect("sendable"));
        assert_eq!(
            close_frame(Side::Client, &closing),
            b"\x88\x09\x0f\xa1expired"
        );
        assert_eq!(
            close_frame(Side::Upstream, &closing),
            b"\x88\x89\0\0\0\0\x0f\xa1expired"
        );
    }

    #[test]
    fn our_pings_are_recognised_again() {
        let frame = ping_frame(7);
        assert_eq!(frame[..2], [0x89, 8]);
        assert!(is_ping_payload(&frame[2..]));
        assert!(!is_ping_payload(b"pcls"));
        assert!(!is_ping_payload(b"otherone"));
    }

    #[test]
    fn a_text_frame_of_any_length_up_to_64_kib_is_well_formed() {
        assert_eq!(text_frame("hi"), b"\x81\x02hi");
        assert_eq!(text_frame(&"x".repeat(126))[..4], [0x81, 126, 0, 126]);
    }
}
