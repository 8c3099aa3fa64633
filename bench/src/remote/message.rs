//! Requests and their answers, as JSON that looks like what agents say: text with line ends and quotes.

/// Requests are numbered from here, so that all numbers have ten digits.
const FIRST: u64 = 1_000_000_000;
/// What stands between the number of a request and its text.
const ASKED: &str = r#","method":"bench/echo","params":{"text":""#;
/// The same of an answer.
const ANSWERED: &str = r#","result":{"text":""#;
/// What stands at the end of both.
const END: &str = r#""}}"#;
/// A line of a text, with what JSON must escape.
const LINE: &str =
    r#"    let name = names.get(\"guest\").map(str::len); // and so on, for a while\n"#;

/// With what a guest begins.
pub(super) const INITIALIZE: &str = r#"{"id":1,"method":"initialize","params":{"clientInfo":{"name":"bench","title":"Bench","version":"1.0.0"}}}"#;

/// Requests of one length.
#[derive(Debug)]
pub(super) struct Messages {
    text: String,
}

impl Messages {
    /// Requests of `bytes` bytes, or of the least that there can be.
    pub(super) fn of(bytes: usize) -> Self {
        let around = r#"{"id":"#.len() + 10 + ASKED.len() + END.len();
        let wanted = bytes.saturating_sub(around);
        let mut text = LINE.repeat(wanted / LINE.len());
        // A line that is cut in an escape would be no JSON.
        text.extend(std::iter::repeat_n('.', wanted - text.len()));
        Self { text }
    }

    /// Appends the request `number`.
    pub(super) fn request(&self, number: u64, out: &mut Vec<u8>) {
        self.write(number, ASKED, out);
    }

    /// The bytes of a request.
    pub(super) fn request_len(&self) -> usize {
        r#"{"id":"#.len() + 10 + ASKED.len() + self.text.len() + END.len()
    }

    /// What the answer `number` begins with: all but its text.
    pub(super) fn answer_start(number: u64) -> String {
        format!(r#"{{"id":{:010}{ANSWERED}"#, FIRST + number)
    }

    /// The bytes of an answer.
    pub(super) fn answer_len(&self) -> usize {
        self.request_len() - ASKED.len() + ANSWERED.len()
    }

    fn write(&self, number: u64, middle: &str, out: &mut Vec<u8>) {
        let start = format!(r#"{{"id":{:010}{middle}"#, FIRST + number);
        for part in [&start, &self.text, END] {
            out.extend_from_slice(part.as_bytes());
        }
    }
}

/// The request's number, and what it asks with, which is the answer's result with its end.
pub(super) fn read_request(request: &[u8]) -> Option<(&[u8], &[u8])> {
    let rest = request.strip_prefix(br#"{"id":"#)?;
    let (number, rest) = rest.split_at_checked(rest.iter().position(|byte| *byte == b',')?)?;
    let params = br#""params":"#;
    let head = rest.get(..rest.len().min(64))?;
    let at = head.windows(params.len()).position(|it| it == params)?;
    Some((number, rest.get(at + params.len()..)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_and_answers_are_json_of_the_length_that_is_expected() {
        for bytes in [300, 64 << 10, 1 << 20] {
            let messages = Messages::of(bytes);
            let mut request = Vec::new();
            messages.request(7, &mut request);
            assert_eq!((request.len(), messages.request_len()), (bytes, bytes));
            let (number, params) = read_request(&request).unwrap();
            let answer = [&br#"{"id":"#[..], number, br#","result":"#, params].concat();
            assert_eq!(answer.len(), messages.answer_len());
            assert!(answer.starts_with(Messages::answer_start(7).as_bytes()));
            for text in [request, answer] {
                serde_json::from_slice::<serde_json::Value>(&text).unwrap();
            }
        }
    }

    #[test]
    fn the_first_request_is_answered_too() {
        let (number, params) = read_request(INITIALIZE.as_bytes()).unwrap();
        assert_eq!(number, b"1");
        assert!(params.starts_with(br#"{"clientInfo""#));
    }
}
