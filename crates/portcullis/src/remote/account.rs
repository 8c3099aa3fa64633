//! Whose a host is.

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use portcullis_boundary::Identity;
use portcullis_remote::relay::Account;

/// What would be taken for a part of the form.
const RESERVED: &AsciiSet = &CONTROLS.add(b'%').add(b'#');

/// What stands before the name of a verifier.
const VERIFIER: &str = "verifier:";

/// The account of an identity: `ISSUER#SUBJECT`, or `verifier:NAME#SUBJECT` where nobody issued the
/// credential, as two verifiers may mean different people by one name. In no-auth mode there is one
/// account, `local`.
///
/// Two accounts are the same text when they are the same person, as [`Identity::is_same_person_as`]
/// has it, and only then: what stands before the subject is escaped, `%`, `#`, control characters and
/// all that is not ASCII, and the colon of an issuer that calls itself a verifier. The subject comes
/// last and is as it is.
pub(crate) fn account_of(identity: &Identity) -> Account {
    let escaped = |text: &str| utf8_percent_encode(text, RESERVED).to_string();
    let subject = identity.subject();
    let issuer = identity.issuer().filter(|issuer| !issuer.is_empty());
    Account::new(match (issuer, identity.verifier()) {
        (Some(issuer), _) => {
            let mut issuer = escaped(issuer);
            if let Some(rest) = issuer.strip_prefix(VERIFIER) {
                issuer = format!("verifier%3A{rest}");
            }
            format!("{issuer}#{subject}")
        }
        (None, Some(verifier)) => format!("{VERIFIER}{}#{subject}", escaped(verifier)),
        (None, None) => escaped(subject),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(issuer: Option<&str>, verifier: Option<&str>, subject: &str) -> String {
        let mut identity = Identity::new(subject);
        if let Some(issuer) = issuer {
            identity = identity.with_issuer(issuer);
        }
        if let Some(verifier) = verifier {
            identity = identity.verified_by(verifier);
        }
        account_of(&identity).as_str().to_owned()
    }

    #[test]
    fn an_account_says_who_vouches_for_its_subject() {
        let issuer = "https://id.example";
        assert_eq!(
            account(Some(issuer), Some("jwt"), "ada"),
            "https://id.example#ada"
        );
        assert_eq!(
            account(Some(issuer), Some("other"), "ada"),
            "https://id.example#ada",
            "the issuer vouches for its subjects, whoever verified"
        );
        assert_eq!(account(None, Some("tokens"), "ada"), "verifier:tokens#ada");
        assert_eq!(account_of(&Identity::local()).as_str(), "local");
    }

    #[test]
    fn two_accounts_are_the_same_when_they_are_the_same_person() {
        let issuers = [None, Some(""), Some("a"), Some("é")];
        let people = || {
            let verified = issuers.map(|issuer| ["v", "w"].map(|verifier| (issuer, verifier)));
            let named = verified.into_iter().flatten();
            named.flat_map(|named| ["s", "t"].map(|subject| (named, subject)))
        };
        let identity = |((issuer, verifier), subject): ((Option<&str>, &str), &str)| {
            let identity = Identity::new(subject).verified_by(verifier);
            match issuer {
                Some(issuer) => identity.with_issuer(issuer),
                None => identity,
            }
        };
        for (one, other) in people().flat_map(|one| people().map(move |other| (one, other))) {
            let (first, second) = (identity(one), identity(other));
            let is_same = account_of(&first).as_str() == account_of(&second).as_str();
            let is_said = first.is_same_person_as(&second);
            assert_eq!(is_same, is_said, "{one:?} {other:?}");
        }
    }

    #[test]
    fn no_two_people_have_one_account() {
        let people = [
            (Some("a"), "b#c"),
            (Some("a#b"), "c"),
            (Some("a%23b"), "c"),
            (Some("verifier:a"), "b#c"),
            (Some("verifier%3Aa"), "b#c"),
            (Some("é"), "c"),
            (Some("%C3%A9"), "c"),
            (Some("local"), ""),
            (Some(""), "b"),
            (None, "b#c"),
            (None, "local"),
        ];
        let mut accounts: Vec<String> = people
            .iter()
            .map(|(issuer, subject)| account(*issuer, Some("a"), subject))
            .collect();
        accounts.push(account(None, Some("a#b"), "c"));
        accounts.push(account(None, None, "local"));
        accounts.push(account(None, None, "a#b"));
        let all = accounts.len();
        accounts.sort();
        accounts.dedup();
        assert_eq!(accounts.len(), all, "{accounts:?}");
    }
}
