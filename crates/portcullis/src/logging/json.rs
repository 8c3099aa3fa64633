//! A log line as JSON: `{"timestamp":…,"level":…,"fields":{…},"target":…}`.
//!
//! The shape is that of the subscriber's own JSON. Written straight into the line, without a
//! serialiser between, it costs a third: there are two such lines for every short session.

use std::cell::RefCell;
use std::fmt::{self, Debug, Write};

use portcullis_boundary::clock::{Clock, SystemClock};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// Writes an event as one line of JSON.
pub(super) struct JsonLine;

impl<S, N> FormatEvent<S, N> for JsonLine
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        writer.write_str("{\"timestamp\":\"")?;
        write_time(&mut writer)?;
        writer.write_str("\",\"level\":\"")?;
        writer.write_str(event.metadata().level().as_str())?;
        writer.write_str("\",\"fields\":{")?;
        let mut fields = Fields {
            writer: &mut writer,
            written: Ok(()),
            is_first: true,
        };
        event.record(&mut fields);
        fields.written?;
        writer.write_str("},\"target\":\"")?;
        escape(&mut writer, event.metadata().target())?;
        writer.write_str("\"}\n")
    }
}

thread_local! {
    /// The last second that was written, and how.
    static SECOND: RefCell<(i64, String)> = const { RefCell::new((0, String::new())) };
}

/// Writes the time (RFC 3339) with milliseconds. All of it but these is the same for a whole second.
fn write_time(writer: &mut Writer<'_>) -> fmt::Result {
    SECOND.with_borrow_mut(|(second, text)| {
        let mut now = SystemClock::new().now();
        while *second != now.as_secs() {
            *second = now.as_secs();
            text.clear();
            SystemTime.format_time(&mut Writer::new(text))?;
            text.truncate("1970-01-01T00:00:00.".len());
            // Formatted in another second than it was asked for, it would be off by one.
            now = SystemClock::new().now();
        }
        let millis = now.as_millis().rem_euclid(1000);
        writer.write_str(text)?;
        // With a digit before them, leading zeros come by themselves.
        let mut buffer = itoa::Buffer::new();
        let digits = buffer.format(millis + 1000).get(1..);
        writer.write_str(digits.unwrap_or_default())?;
        writer.write_char('Z')
    })
}

struct Fields<'a, 'w> {
    writer: &'a mut Writer<'w>,
    /// The first error sticks.
    written: fmt::Result,
    is_first: bool,
}

impl Fields<'_, '_> {
    fn field(&mut self, field: &Field, value: impl FnOnce(&mut Writer<'_>) -> fmt::Result) {
        if self.written.is_ok() {
            self.written = self.write(field, value);
        }
    }

    fn write(
        &mut self,
        field: &Field,
        value: impl FnOnce(&mut Writer<'_>) -> fmt::Result,
    ) -> fmt::Result {
        self.writer
            .write_str(if self.is_first { "\"" } else { ",\"" })?;
        self.is_first = false;
        escape(self.writer, field.name())?;
        self.writer.write_str("\":")?;
        value(self.writer)
    }
}

impl Visit for Fields<'_, '_> {
    fn record_bool(&mut self, field: &Field, value: bool) {
        self.field(field, |writer| write!(writer, "{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.field(field, |writer| {
            writer.write_char('"')?;
            write!(Escaped(writer), "{value:?}")?;
            writer.write_char('"')
        });
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        if value.is_finite() {
            self.field(field, |writer| write!(writer, "{value}"));
        } else {
            self.field(field, |writer| writer.write_str("null"));
        }
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.field(field, |writer| {
            writer.write_str(itoa::Buffer::new().format(value))
        });
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.field(field, |writer| {
            writer.write_char('"')?;
            escape(writer, value)?;
            writer.write_char('"')
        });
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.field(field, |writer| {
            writer.write_str(itoa::Buffer::new().format(value))
        });
    }
}

/// Escapes what is written to it.
struct Escaped<'a, 'w>(&'a mut Writer<'w>);

impl Write for Escaped<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        escape(self.0, text)
    }
}

/// Whether it must not stand in a line as it is.
const fn is_special(byte: &u8) -> bool {
    matches!(byte, ..0x20 | 0x7f | b'"' | b'\\')
}

/// Writes `text` as the inside of a JSON string (RFC 8259, 7): what must be escaped is, and so is
/// DEL, which a terminal may obey.
fn escape(writer: &mut impl Write, text: &str) -> fmt::Result {
    let mut rest = text;
    while let Some(at) = rest.as_bytes().iter().position(is_special) {
        // What is special is one byte long: both ends of it are boundaries.
        let (plain, from) = rest.split_at(at);
        writer.write_str(plain)?;
        let mut after = from.chars();
        match after.next() {
            Some('"') => writer.write_str("\\\"")?,
            Some('\\') => writer.write_str("\\\\")?,
            Some('\n') => writer.write_str("\\n")?,
            Some(other) => write!(writer, "\\u{:04x}", u32::from(other))?,
            None => {}
        }
        rest = after.as_str();
    }
    writer.write_str(rest)
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().expect("no panic").extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_line_is_one_json_object_whatever_is_in_it() {
        let sink = Sink::default();
        let make = sink.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_writer(move || make.clone())
            .event_format(JsonLine)
            .finish();
        let hostile = "a\"b\\c\nd\u{1b}[0m\u{7f}é";
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!(target: "t", hostile, shown = %hostile, asked = ?hostile, n = -1, u = 7u64,
                yes = true, none = None::<u64>, "message");
        });
        let line = String::from_utf8(sink.0.lock().expect("no panic").clone()).expect("UTF-8");
        assert_eq!(line.matches('\n').count(), 1, "{line}");
        let read: serde_json::Value = serde_json::from_str(&line).expect("JSON");
        let fields = &read["fields"];
        assert_eq!(
            (&read["level"], &read["target"]),
            (&"INFO".into(), &"t".into())
        );
        assert_eq!(fields["message"], "message");
        assert_eq!(fields["hostile"], hostile);
        assert_eq!(fields["shown"], hostile);
        assert_eq!(fields["asked"], format!("{hostile:?}"));
        assert_eq!(
            (&fields["n"], &fields["u"], &fields["yes"]),
            (&(-1).into(), &7.into(), &true.into())
        );
        assert!(fields.get("none").is_none());
        assert!(
            read["timestamp"]
                .as_str()
                .is_some_and(|time| time.ends_with('Z')),
            "{line}"
        );
    }
}
