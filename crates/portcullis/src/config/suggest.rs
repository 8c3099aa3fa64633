//! Did you mean …?

/// The one of `known` that `written` was probably meant to be.
pub(crate) fn nearest<'a>(
    written: &str,
    known: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    known
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(written, name), name))
        .min()
        .filter(|(distance, name)| *distance <= 1 + name.len() / 4)
        .map(|(_, name)| name)
}

/// A mend that names the nearest of `known`, and all of them.
pub(crate) fn choose(written: &str, known: &[&str]) -> String {
    let all = list(known);
    match nearest(written, known.iter().copied()) {
        Some(name) => format!("did you mean `{name}`? There is {all}"),
        None => format!("there is {all}"),
    }
}

fn list(known: &[&str]) -> String {
    let quoted: Vec<String> = known.iter().map(|name| format!("`{name}`")).collect();
    match quoted.split_last() {
        None => "none".to_owned(),
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} and {last}", rest.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_corrected_and_nonsense_is_not() {
        assert_eq!(nearest("upsteam", ["path", "upstream"]), Some("upstream"));
        assert_eq!(nearest("zzzzzz", ["path", "upstream"]), None);
        assert_eq!(
            choose("chta", &["chat", "term"]),
            "did you mean `chat`? There is `chat` and `term`"
        );
        assert_eq!(choose("x", &[]), "there is none");
    }
}
