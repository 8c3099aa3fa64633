//! The close frame as it came.
//!
//! tungstenite tells a code that it does not know as 1002, without its reason. 1014 is such a code, and
//! with it a gate says that what stands behind it is away: something to come back from, and not a
//! violation of the protocol to stop at. So the frame is overheard.

/// What a close frame says.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Goodbye {
    /// The code; 1005 for a frame without one.
    pub(crate) code: u16,
    pub(crate) reason: Box<str>,
}

/// Follows the frames of a server (RFC 6455, 5.2) to the one that closes.
#[derive(Debug, Default)]
pub(super) struct Eavesdropper {
    /// The frame that has begun: its head, and of a close frame all that came.
    frame: Vec<u8>,
    /// Bytes of a payload that are still to come and are none of its business.
    rest: u64,
    is_done: bool,
}

impl Eavesdropper {
    /// Hears what came next. Gives the goodbye when it is complete.
    pub(super) fn hear(&mut self, mut bytes: &[u8]) -> Option<Goodbye> {
        while !self.is_done {
            let rest = usize::try_from(self.rest).unwrap_or(usize::MAX);
            let passed = bytes.len().min(rest);
            self.rest -= passed as u64;
            let (&next, after) = bytes.get(passed..)?.split_first()?;
            bytes = after;
            self.frame.push(next);
            if let Some(goodbye) = self.take_note() {
                return Some(goodbye);
            }
        }
        None
    }

    fn take_note(&mut self) -> Option<Goodbye> {
        let [first, second, rest @ ..] = &*self.frame else {
            return None;
        };
        let length = second & 0x7f;
        if first & 0x0f == CLOSE {
            // "All control frames MUST have a payload length of 125 bytes or less" (5.5), and "a server
            // MUST NOT mask any frames" (5.1). What breaks these rules says nothing.
            let is_broken = second & 0x80 != 0 || length > 125;
            let is_whole = !is_broken && rest.len() == usize::from(length);
            self.is_done = is_broken || is_whole;
            return is_whole.then(|| Goodbye::read(rest)).flatten();
        }
        let extended = match length {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        if rest.len() == extended {
            self.rest = match extended {
                0 => u64::from(length),
                _ => rest.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte)),
            };
            self.frame.clear();
        }
        None
    }
}

impl Goodbye {
    fn read(payload: &[u8]) -> Option<Self> {
        let (code, reason) = match payload {
            [] => (NO_CODE, &[][..]),
            [_] => return None,
            [high, low, reason @ ..] => (u16::from_be_bytes([*high, *low]), reason),
        };
        Some(Self {
            code,
            reason: String::from_utf8_lossy(reason).into(),
        })
    }
}

impl Default for Goodbye {
    fn default() -> Self {
        Self {
            code: NO_CODE,
            reason: Box::default(),
        }
    }
}

const CLOSE: u8 = 0x8;

/// "1005 is a reserved value … to indicate that no status code was actually present" (7.4.1).
const NO_CODE: u16 = 1005;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
        let mut frame = vec![0x80 | opcode];
        match payload.len() {
            length @ ..126 => frame.push(u8::try_from(length).expect("small")),
            length @ ..65_536 => {
                frame.push(126);
                frame.extend(u16::try_from(length).expect("less").to_be_bytes());
            }
            length => {
                frame.push(127);
                frame.extend((length as u64).to_be_bytes());
            }
        }
        frame.extend(payload);
        frame
    }

    #[test]
    fn a_close_frame_is_heard_with_any_code_and_without_one() {
        for (payload, code, reason) in [
            (
                &b"\x03\xf6upstream_unreachable"[..],
                1014,
                "upstream_unreachable",
            ),
            (b"\x03\xe8", 1000, ""),
            (b"", 1005, ""),
            (b"\xff\xff\xff", 65_535, "\u{fffd}"),
        ] {
            let heard = Eavesdropper::default().hear(&frame(CLOSE, payload));
            let reason = reason.into();
            assert_eq!(heard, Some(Goodbye { code, reason }));
        }
    }

    #[test]
    fn what_breaks_the_rules_says_nothing() {
        for bytes in [
            &b"\x88\x01\x03"[..],
            b"\x88\x82\0\0\0\0\x03\xe8",
            b"\x88\x7e\0\x7e",
        ] {
            assert_eq!(Eavesdropper::default().hear(bytes), None, "{bytes:?}");
        }
    }

    proptest! {
        #[test]
        fn it_is_heard_after_any_frames_in_any_pieces(
            before in prop::collection::vec((0_u8..3, 0_usize..70_000), 0..6),
            cuts in prop::collection::vec(1_usize..5000, 1..40),
        ) {
            let mut bytes = Vec::new();
            for (opcode, length) in before {
                // A payload that looks like a close frame is none.
                bytes.extend(frame(opcode, &vec![0x88; length]));
            }
            bytes.extend(frame(CLOSE, b"\x03\xf6away"));
            let mut listener = Eavesdropper::default();
            let (mut heard, mut rest) = (None, &*bytes);
            for cut in cuts.into_iter().chain([usize::MAX]) {
                let (piece, after) = rest.split_at(cut.min(rest.len()));
                rest = after;
                if let Some(goodbye) = listener.hear(piece) {
                    prop_assert!(heard.is_none() && rest.is_empty());
                    heard = Some(goodbye);
                }
            }
            prop_assert_eq!(heard, Some(Goodbye { code: 1014, reason: "away".into() }));
        }
    }
}
