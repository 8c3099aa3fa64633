//! Where a connector's credential is read.

mod codex;
mod command;
mod watched;

use std::ffi::OsString;
use std::fmt;
use std::future::pending;
use std::path::PathBuf;

use portcullis_client::token::{TokenSource, TokenVariable};
use portcullis_remote::connector::{
    AccountRule, Credential, CredentialError, CredentialSource, Renewal,
};
use secrecy::{ExposeSecret, SecretString};

use self::command::PrintedToken;
use self::watched::WatchedFile;

/// Where a credential is to be read.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum CredentialPlan {
    /// In a file that holds nothing else.
    TokenFile(PathBuf),
    /// In a variable of the environment.
    Variable(OsString),
    /// On the standard output of a program, the first line of it.
    Command(Vec<String>),
    /// In the `auth.json` of the agent, which also names the account.
    CodexAuth(PathBuf),
}

impl CredentialPlan {
    /// The program and the arguments in `line`, between spaces; none when it names no program.
    pub(crate) fn command(line: &str) -> Option<Self> {
        let words: Vec<String> = line.split_whitespace().map(ToOwned::to_owned).collect();
        (!words.is_empty()).then_some(Self::Command(words))
    }

    /// Opens it, with `account` in place of what it names. Each that is opened notices changes by
    /// itself.
    pub(crate) fn open(&self, account: &AccountRule) -> Credentials {
        let source = match self {
            Self::TokenFile(path) => Source::TokenFile(WatchedFile::new(path.clone())),
            Self::CodexAuth(path) => Source::CodexAuth(WatchedFile::new(path.clone())),
            Self::Variable(name) => Source::Variable(TokenVariable::new(name)),
            Self::Command(words) => Source::Command(PrintedToken::new(words)),
        };
        let account = match account {
            AccountRule::Fixed(account) => Some(account.clone()),
            AccountRule::FromCredential | AccountRule::Unnamed => None,
        };
        Credentials { source, account }
    }
}

/// In words for people, without what may be secret.
impl fmt::Display for CredentialPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TokenFile(path) => write!(f, "the file {}", path.display()),
            Self::Variable(name) => write!(f, "the variable {}", name.display()),
            // Its arguments may hold a secret.
            Self::Command(words) => {
                let program = words.first().map(String::as_str).unwrap_or_default();
                write!(f, "what {program} prints")
            }
            Self::CodexAuth(path) => write!(f, "the agent's login in {}", path.display()),
        }
    }
}

/// A place where a credential is read, again and again.
pub(crate) struct Credentials {
    source: Source,
    account: Option<Box<str>>,
}

enum Source {
    TokenFile(WatchedFile),
    CodexAuth(WatchedFile),
    Variable(TokenVariable),
    Command(PrintedToken),
}

impl CredentialSource for Credentials {
    async fn read(&self) -> Result<Credential, CredentialError> {
        let credential = self.source.read().await?;
        Ok(match &self.account {
            Some(account) => credential.of_account(account.clone()),
            None => credential,
        })
    }

    async fn changed(&self) {
        match &self.source {
            Source::TokenFile(file) | Source::CodexAuth(file) => file.changed().await,
            // The environment of a process stays as it is; a program says nothing until it is run.
            Source::Variable(_) | Source::Command(_) => pending().await,
        }
    }

    async fn renew(&self, _: &Credential) -> Renewal {
        match &self.source {
            Source::Command(command) => command.renew().await,
            Source::TokenFile(_) | Source::CodexAuth(_) | Source::Variable(_) => {
                Renewal::Impossible
            }
        }
    }
}

impl Source {
    async fn read(&self) -> Result<Credential, CredentialError> {
        match self {
            Self::TokenFile(file) => bearer(file.read().await?.as_ref()),
            Self::CodexAuth(file) => codex::credential(file.read().await?.as_ref()),
            Self::Variable(variable) => {
                let token = variable.token().await;
                let token = token.map_err(|_| CredentialError::Missing)?;
                bearer(Some(&SecretString::from(token.expose())))
            }
            Self::Command(command) => command.read().await,
        }
    }
}

/// The credential in a text that holds nothing else.
fn bearer(text: Option<&SecretString>) -> Result<Credential, CredentialError> {
    let token = text.map(|text| text.expose_secret().trim());
    match token {
        None | Some("") => Err(CredentialError::Missing),
        Some(token) if can_travel(token) => Ok(Credential::bearer(token)),
        Some(_) => Err(unreadable(
            "it is not one line of visible ASCII, as a token is",
        )),
    }
}

/// Whether `token` can stand in a header, after `Bearer`.
fn can_travel(token: &str) -> bool {
    token.bytes().all(|byte| byte.is_ascii_graphic())
}

fn unreadable(reason: impl Into<Box<str>>) -> CredentialError {
    CredentialError::Unreadable {
        reason: reason.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_file_without_a_token_is_missing_and_one_that_cannot_travel_is_unreadable() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("token");
        let source = CredentialPlan::TokenFile(path.clone()).open(&AccountRule::Unnamed);
        assert_eq!(source.read().await, Err(CredentialError::Missing));
        std::fs::write(&path, " \n").expect("written");
        assert_eq!(source.read().await, Err(CredentialError::Missing));
        std::fs::write(&path, " s3cr3t\n").expect("written");
        assert_eq!(source.read().await, Ok(Credential::bearer("s3cr3t")));
        for bad in ["s3cr3t\nanother", "s3cr3t two", "s3cr\u{e9}t"] {
            std::fs::write(&path, bad).expect("written");
            let error = source.read().await.expect_err(bad);
            assert!(matches!(error, CredentialError::Unreadable { .. }), "{bad}");
            assert!(!error.to_string().contains("s3cr"), "{error}");
        }
    }

    #[tokio::test]
    async fn an_unset_variable_is_a_missing_credential() {
        let source = CredentialPlan::Variable("PORTCULLIS_NO_SUCH_VARIABLE".into());
        let source = source.open(&AccountRule::Unnamed);
        assert_eq!(source.read().await, Err(CredentialError::Missing));
    }

    #[tokio::test]
    async fn an_account_that_is_named_goes_before_that_of_the_login() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("auth.json");
        let text = r#"{"tokens": {"access_token": "tok", "account_id": "own"}}"#;
        std::fs::write(&path, text).expect("written");
        let plan = CredentialPlan::CodexAuth(path);
        for (rule, account) in [
            (AccountRule::FromCredential, "own"),
            (AccountRule::Fixed("acme".into()), "acme"),
        ] {
            let read = plan.open(&rule).read().await;
            assert_eq!(read, Ok(Credential::bearer("tok").of_account(account)));
        }
    }

    #[test]
    fn what_is_told_of_a_command_is_its_program() {
        let plan = CredentialPlan::command(" vault read -token=s3cr3t ").expect("a program");
        assert_eq!(plan.to_string(), "what vault prints");
        assert_eq!(CredentialPlan::command(" "), None);
    }
}
