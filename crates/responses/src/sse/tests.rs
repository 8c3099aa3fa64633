use proptest::prelude::*;

use super::*;

fn events(chunks: &[&[u8]]) -> Vec<String> {
    let mut parser = Parser::new(1 << 16);
    let mut events = Vec::new();
    for chunk in chunks {
        parser.push(Bytes::copy_from_slice(chunk));
        while let Some(data) = parser.next_data().unwrap() {
            events.push(String::from_utf8(data.to_vec()).unwrap());
        }
    }
    events.extend(
        parser
            .finish()
            .map(|data| String::from_utf8(data.to_vec()).unwrap()),
    );
    events
}

#[test]
fn events_are_read_as_the_standard_has_them() {
    for (stream, expected) in [
        ("data: {}\n\n", vec!["{}"]),
        ("data:{}\n\ndata: 2\n\n", vec!["{}", "2"]),
        ("data:  two spaces\n\n", vec![" two spaces"]),
        ("event: x\nid: 1\nretry: 5\ndata: 1\n\n", vec!["1"]),
        ("data: 1\ndata: 2\ndata\ndata:\n\n", vec!["1\n2\n\n"]),
        (": a comment\n\n:\n\ndata: 1\n\n", vec!["1"]),
        ("data: 1\r\n\r\ndata: 2\r\n\r\n", vec!["1", "2"]),
        ("data: 1\r\rdata: 2\r\r", vec!["1", "2"]),
        ("\u{feff}data: 1\n\n", vec!["1"]),
        ("data: [DONE]\n\n", vec!["[DONE]"]),
        ("database: 1\n\ndat: 2\n\n", vec![]),
        ("\n\n\n\ndata: 1\n\n\n\n", vec!["1"]),
        (
            "data: ended without an empty line\n",
            vec!["ended without an empty line"],
        ),
        ("data: cut off in its li", vec![]),
        ("data: äöü\n\n", vec!["äöü"]),
        ("", vec![]),
    ] {
        assert_eq!(events(&[stream.as_bytes()]), expected, "{stream:?}");
    }
}

#[test]
fn what_has_no_end_is_too_large() {
    let mut parser = Parser::new(100);
    for _ in 0..10 {
        parser.push(Bytes::from_static(b"data: 12345\n"));
        if parser.next_data().is_err() {
            return;
        }
    }
    panic!("120 bytes were kept");
}

#[test]
fn many_small_events_are_no_large_one() {
    let mut parser = Parser::new(100);
    for _ in 0..1000 {
        parser.push(Bytes::from_static(b"data: 12345\n\n"));
        assert_eq!(parser.next_data().unwrap().unwrap(), "12345");
    }
}

#[test]
fn an_event_of_one_piece_is_a_part_of_it_and_no_copy() {
    let piece = Bytes::from_static(b"data: 1\n\ndata: 2\n\n");
    let within = piece.as_ptr_range();
    let mut parser = Parser::new(100);
    parser.push(piece);
    for _ in 0..2 {
        let data = parser.next_data().unwrap().unwrap();
        assert!(within.contains(&data.as_ptr()));
    }
}

#[test]
fn a_large_event_in_small_pieces_grows_in_its_place() {
    let mut parser = Parser::new(1 << 20);
    parser.push(Bytes::from_static(b"data: "));
    let mut moves = 0;
    let mut place = None;
    for _ in 0..4_000 {
        parser.push(Bytes::from_static(&[b'x'; 100]));
        assert_eq!(parser.next_data(), Ok(None));
        let now = parser.place();
        moves += usize::from(place.replace(now) != Some(now));
    }
    parser.push(Bytes::from_static(b"\n\n"));
    assert_eq!(parser.next_data().unwrap().unwrap().len(), 400_000);
    assert!(moves < 40, "moved {moves} times");
}

proptest! {
    #[test]
    fn events_are_the_same_however_their_bytes_come(
        lines in prop::collection::vec(
            prop::sample::select(vec![
                "data: {\"a\":1}", "data:x", "data", "event: e", ": c", "", "", "data: \u{e4}", "id",
            ]),
            0..40,
        ),
        end in prop::sample::select(vec!["\n", "\r\n", "\r"]),
        cuts in prop::collection::vec(0_usize..400, 0..20),
        mark in any::<bool>(),
    ) {
        let mut stream = String::new();
        if mark {
            stream.push('\u{feff}');
        }
        for line in &lines {
            stream.push_str(line);
            stream.push_str(end);
        }
        let whole = stream.as_bytes();
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(whole.len())).collect();
        cuts.extend([0, whole.len()]);
        cuts.sort_unstable();
        let chunks: Vec<&[u8]> = cuts.windows(2).map(|cut| &whole[cut[0]..cut[1]]).collect();
        prop_assert_eq!(events(&chunks), events(&[whole]));
    }

    #[test]
    fn no_bytes_make_the_parser_panic_or_keep_too_much(
        chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..64), 0..32),
    ) {
        let mut parser = Parser::new(256);
        for chunk in &chunks {
            parser.push(Bytes::copy_from_slice(chunk));
            loop {
                match parser.next_data() {
                    Ok(Some(_)) => {}
                    Ok(None) => break,
                    Err(TooLarge) => return Ok(()),
                }
            }
        }
        parser.finish();
    }
}

#[test]
fn json_over_several_lines_is_written_as_one_event() {
    for text in ["{\n  \"type\": \"x\",\r\n\r\n  \"a\": 1\r}", "{}"] {
        let written = write("x", text);
        let read = events(&[&*written]);
        assert_eq!(read.len(), 1, "{written:?}");
        let value = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
        assert_eq!(value(&read[0]), value(text));
    }
}
