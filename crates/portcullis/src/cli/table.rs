//! Lists as people read them.

use serde_json::Value;

/// A column: its heading, and where its value stands in an entry (with dots between names).
pub(crate) type Column = (&'static str, &'static str);

/// The entries as a table; control characters in them are shown and not obeyed.
pub(crate) fn table(columns: &[Column], entries: &[Value]) -> String {
    let mut rows = vec![
        columns
            .iter()
            .map(|(head, _)| (*head).to_owned())
            .collect::<Vec<_>>(),
    ];
    for entry in entries {
        rows.push(
            columns
                .iter()
                .map(|(_, field)| cell(entry, field))
                .collect(),
        );
    }
    let widths: Vec<usize> = (0..columns.len())
        .map(|index| {
            let cells = rows.iter().filter_map(|row| row.get(index));
            cells
                .map(|cell| cell.chars().count())
                .max()
                .unwrap_or_default()
        })
        .collect();
    let mut text = String::new();
    for row in rows {
        let padded = row
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:width$}"));
        text.push_str(padded.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
    }
    text
}

/// One entry, a line for each field.
pub(crate) fn fields(columns: &[Column], entry: &Value) -> String {
    let width = columns
        .iter()
        .map(|(head, _)| head.len())
        .max()
        .unwrap_or_default();
    let lines = columns
        .iter()
        .map(|(head, field)| format!("{head:width$}  {}\n", cell(entry, field)));
    lines.collect()
}

fn cell(entry: &Value, field: &str) -> String {
    let found = field
        .split('.')
        .try_fold(entry, |value, name| value.get(name));
    let text = match found.unwrap_or(&Value::Null) {
        Value::Null => return "-".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(items) => {
            let words = items.iter().filter_map(Value::as_str);
            words.collect::<Vec<_>>().join(" ")
        }
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        other @ (Value::Number(_) | Value::Object(_)) => other.to_string(),
    };
    if text.is_empty() {
        return "-".to_owned();
    }
    let shown = text.chars().map(|c| {
        if c.is_control() {
            c.escape_default().to_string()
        } else {
            c.to_string()
        }
    });
    shown.collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let entries = [
            json!({"id": "a", "at": {"x": 1}, "scopes": ["r", "w"]}),
            json!({"id": "longer", "scopes": []}),
        ];
        let columns = [("ID", "id"), ("X", "at.x"), ("SCOPES", "scopes")];
        let expected = "ID      X  SCOPES\na       1  r w\nlonger  -  -\n";
        assert_eq!(table(&columns, &entries), expected);
    }

    #[test]
    fn a_name_cannot_move_the_cursor_or_begin_a_line() {
        let entries = [json!({"id": "\u{1b}[2J\nroot"})];
        assert_eq!(table(&[("ID", "id")], &entries), "ID\n\\u{1b}[2J\\nroot\n");
    }
}
