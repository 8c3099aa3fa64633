use proptest::prelude::*;

use super::*;
use crate::json::Text;
use crate::machine::Frame;

fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mask = [0x11, 0x22, 0x33, 0x44];
    let mut bytes = vec![first];
    match payload.len() {
        length @ 0..126 => bytes.push(0x80 | u8::try_from(length).unwrap()),
        length @ 126..65536 => {
            bytes.push(0x80 | 126);
            bytes.extend(u16::try_from(length).unwrap().to_be_bytes());
        }
        length => {
            bytes.push(0x80 | 127);
            bytes.extend((length as u64).to_be_bytes());
        }
    }
    bytes.extend(mask);
    bytes.extend(
        payload
            .iter()
            .zip(mask.iter().cycle())
            .map(|(byte, key)| byte ^ key),
    );
    bytes
}

fn read(inbox: &mut Inbox, bytes: &[u8]) -> Result<Vec<Incoming>, Violation> {
    inbox.push(bytes);
    let mut all = Vec::new();
    while let Some(incoming) = inbox.next_incoming()? {
        all.push(incoming);
    }
    Ok(all)
}

fn text(text: &str) -> Incoming {
    Incoming::Message(Frame::Text(Text::from(text)))
}

#[test]
fn messages_are_read_with_their_fragments_and_what_comes_between() {
    let long = "x".repeat(70_000);
    let mut stream = frame(0x81, b"one");
    stream.extend(frame(0x01, b"tw"));
    stream.extend(frame(0x89, b"ping"));
    stream.extend(frame(0x00, b""));
    stream.extend(frame(0x80, b"o"));
    stream.extend(frame(0x8a, b""));
    stream.extend(frame(0x81, long.as_bytes()));
    stream.extend(frame(0x82, b"binary"));
    stream.extend(frame(0x81, &[0xff, 0xfe]));
    stream.extend(frame(0x88, &[0x03, 0xe8, b'x']));
    stream.extend(frame(0x88, b""));
    assert_eq!(
        read(&mut Inbox::new(100_000), &stream).unwrap(),
        [
            text("one"),
            Incoming::Ping("ping".into()),
            text("two"),
            Incoming::Pong,
            text(&long),
            Incoming::Message(Frame::Binary),
            Incoming::Message(Frame::NotUtf8),
            Incoming::Close(Some(1000)),
            Incoming::Close(None),
        ]
    );
}

#[test]
fn a_message_that_is_too_large_is_told_once_and_the_next_is_read() {
    let mut stream = frame(0x81, &[b'x'; 101]);
    stream.extend(frame(0x81, b"next"));
    // In fragments of which none is too large.
    stream.extend(frame(0x01, &[b'x'; 60]));
    stream.extend(frame(0x00, &[b'x'; 60]));
    stream.extend(frame(0x80, &[b'x'; 60]));
    stream.extend(frame(0x81, &[b'x'; 100]));
    let expected = [
        Incoming::Message(Frame::TooLarge),
        text("next"),
        Incoming::Message(Frame::TooLarge),
        text(&"x".repeat(100)),
    ];
    assert_eq!(read(&mut Inbox::new(100), &stream).unwrap(), expected);
    let mut inbox = Inbox::new(100);
    let bytewise: Vec<Incoming> = stream
        .iter()
        .flat_map(|byte| read(&mut inbox, &[*byte]).unwrap())
        .collect();
    assert_eq!(bytewise, expected);
}

#[test]
fn a_length_is_believed_to_be_too_large_before_it_has_come() {
    let mut head = vec![0x81, 0x80 | 127];
    head.extend((1_u64 << 40).to_be_bytes());
    head.extend([0; 4]);
    let mut inbox = Inbox::new(100);
    let told = read(&mut inbox, &head).unwrap();
    assert_eq!(told, [Incoming::Message(Frame::TooLarge)]);
    for _ in 0..100 {
        assert_eq!(read(&mut inbox, &[0; 4096]).unwrap(), []);
    }
}

#[test]
fn what_breaks_framing_is_not_read_on() {
    let unmasked = [0x81, 0x01, b'x'];
    let mut huge = vec![0x81, 0xff];
    huge.extend(u64::MAX.to_be_bytes());
    huge.extend([0; 4]);
    let mut nested = frame(0x01, b"a");
    nested.extend(frame(0x81, b"b"));
    for (stream, violation) in [
        (unmasked.to_vec(), Violation::Unmasked),
        (frame(0xc1, b"x"), Violation::Reserved),
        (frame(0x83, b"x"), Violation::Reserved),
        (frame(0x8b, b"x"), Violation::Reserved),
        (frame(0x09, b"x"), Violation::ControlMalformed),
        (frame(0x89, &[0; 126]), Violation::ControlMalformed),
        (frame(0x80, b"x"), Violation::NothingToContinue),
        (nested, Violation::NotContinued),
        (frame(0x88, b"x"), Violation::CloseMalformed),
        (huge, Violation::Length),
    ] {
        assert_eq!(read(&mut Inbox::new(1000), &stream), Err(violation));
    }
}

proptest! {
    #[test]
    fn messages_are_the_same_however_their_bytes_come(
        messages in prop::collection::vec("[a-z]{0,300}", 0..8),
        cuts in prop::collection::vec(0_usize..2000, 0..30),
    ) {
        let mut stream = Vec::new();
        for message in &messages {
            let (head, tail) = message.as_bytes().split_at(message.len() / 2);
            stream.extend(frame(0x01, head));
            stream.extend(frame(0x8a, b"pong"));
            stream.extend(frame(0x80, tail));
        }
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(stream.len())).collect();
        cuts.extend([0, stream.len()]);
        cuts.sort_unstable();
        let mut inbox = Inbox::new(1000);
        let mut read_all = Vec::new();
        for cut in cuts.windows(2) {
            read_all.extend(read(&mut inbox, &stream[cut[0]..cut[1]]).unwrap());
        }
        read_all.retain(|incoming| *incoming != Incoming::Pong);
        let expected: Vec<Incoming> = messages.iter().map(|message| text(message)).collect();
        prop_assert_eq!(read_all, expected);
    }

    #[test]
    fn no_bytes_make_the_inbox_panic(
        chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..64), 0..32),
    ) {
        let mut inbox = Inbox::new(128);
        for chunk in &chunks {
            if read(&mut inbox, chunk).is_err() {
                break;
            }
        }
    }
}
