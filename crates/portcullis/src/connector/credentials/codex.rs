//! The `auth.json` of the agent: what its login gives a connector.
//!
//! 1. A file that is missing or empty is no login.
//! 2. A login by API key is one of the wrong kind, whatever else stands beside it.
//! 3. A login without an access token cannot be read.
//! 4. A login without an account gives a credential without one, which the connector waits with.
//!
//! Nothing is ever written there: the agent renews its tokens itself.

use portcullis_remote::connector::{Credential, CredentialError};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer};

use super::{can_travel, unreadable};

/// As far as a connector is concerned. Members that it does not know may be there.
#[derive(Deserialize)]
struct AuthFile {
    auth_mode: Option<Box<str>>,
    #[serde(rename = "OPENAI_API_KEY", default, deserialize_with = "secret")]
    api_key: Option<SecretString>,
    tokens: Option<Tokens>,
}

#[derive(Deserialize)]
struct Tokens {
    #[serde(default, deserialize_with = "secret")]
    access_token: Option<SecretString>,
    account_id: Option<Box<str>>,
}

/// The credential in `text`, the contents of the file.
pub(super) fn credential(text: Option<&SecretString>) -> Result<Credential, CredentialError> {
    let text = text.map(|text| text.expose_secret().trim());
    let Some(text) = text.filter(|text| !text.is_empty()) else {
        return Err(CredentialError::Missing);
    };
    // What serde says of a text may quote it.
    let file: AuthFile = serde_json::from_str(text).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        unreadable(format!(
            "it is not the JSON of a login, at line {line}, column {column}"
        ))
    })?;
    match file.auth_mode.as_deref() {
        Some("chatgpt" | "chatgptAuthTokens") => {}
        Some("apikey") => return Err(unsupported("an API key")),
        Some(_) => return Err(unsupported("this kind of login")),
        None if file.api_key.is_some() => return Err(unsupported("an API key")),
        None if file.tokens.is_none() => return Err(CredentialError::Missing),
        None => {}
    }
    let tokens = file
        .tokens
        .ok_or_else(|| unreadable("the login has no tokens"))?;
    let token = tokens
        .access_token
        .as_ref()
        .map(|token| token.expose_secret().trim());
    match token {
        None | Some("") => Err(unreadable("the login has no access token")),
        Some(token) if can_travel(token) => {
            let account = tokens.account_id.unwrap_or_default();
            Ok(Credential::bearer(token).of_account(account.trim()))
        }
        Some(_) => Err(unreadable("the access token cannot stand in a header")),
    }
}

fn secret<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<SecretString>, D::Error> {
    Ok(Option::<String>::deserialize(deserializer)?.map(SecretString::from))
}

fn unsupported(kind: &str) -> CredentialError {
    CredentialError::Unsupported { kind: kind.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_login_is_what_the_agent_takes_it_for() {
        let good = || Credential::bearer("tok");
        for (text, expected) in [
            ("", Err(CredentialError::Missing)),
            ("{}", Err(CredentialError::Missing)),
            (
                r#"{"OPENAI_API_KEY": "sk-s3cr3t", "tokens": null}"#,
                Err(unsupported("an API key")),
            ),
            (
                r#"{"auth_mode": "apikey", "OPENAI_API_KEY": "sk-s3cr3t",
                    "tokens": {"access_token": "tok", "account_id": "a"}}"#,
                Err(unsupported("an API key")),
            ),
            (
                r#"{"auth_mode": "agentIdentity"}"#,
                Err(unsupported("this kind of login")),
            ),
            (
                r#"{"auth_mode": "chatgpt", "OPENAI_API_KEY": null, "tokens": null}"#,
                Err(unreadable("the login has no tokens")),
            ),
            (
                r#"{"tokens": {"id_token": "x", "access_token": "", "account_id": "a"}}"#,
                Err(unreadable("the login has no access token")),
            ),
            (
                r#"{"auth_mode": "chatgpt", "tokens": {"access_token": "tok"}}"#,
                Ok(good()),
            ),
            (
                r#"{"tokens": {"access_token": "tok", "account_id": null}}"#,
                Ok(good()),
            ),
            (
                r#"{"auth_mode": "chatgpt", "last_refresh": "2026-01-01T00:00:00Z",
                    "tokens": {"access_token": "tok", "account_id": "acme", "refresh_token": "r"}}"#,
                Ok(good().of_account("acme")),
            ),
        ] {
            let text = SecretString::from(text);
            assert_eq!(
                credential(Some(&text)),
                expected,
                "{}",
                text.expose_secret()
            );
        }
        assert_eq!(credential(None), Err(CredentialError::Missing));
    }

    #[test]
    fn nothing_of_a_file_that_is_broken_is_told() {
        for text in [
            r#"{"tokens": "s3cr3t"}"#,
            r#"{"tokens": {"access_token": "s3cr3t"#,
            "s3cr3t",
            r#"{"auth_mode": {"s3cr3t": 1}}"#,
            r#"{"tokens": {"access_token": "s3cr3t\n two", "account_id": "a"}}"#,
        ] {
            let error = credential(Some(&SecretString::from(text))).expect_err(text);
            assert!(matches!(error, CredentialError::Unreadable { .. }));
            assert!(!error.to_string().contains("s3cr3t"), "{error}");
        }
    }
}
