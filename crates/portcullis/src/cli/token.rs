//! `portcullis token`

use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use clap::{Args, Subcommand, ValueEnum};
use portcullis_boundary::carrier::CarrierKind;
use portcullis_boundary::clock::{Clock, SystemClock};
use portcullis_boundary::{Credential, Rejection};
use portcullis_verifiers::HmacJwt;
use portcullis_verifiers::hmac_jwt::{self, HmacSecret, sign};
use portcullis_verifiers::secret_file::SecretFile;
use serde_json::{Map, Value, json};

use crate::config::{self, expand};
use crate::output::{self, Exit};
use crate::secrets;

/// The commands about tokens.
#[derive(Debug, Subcommand)]
pub(crate) enum TokenCommand {
    /// Make a capability token, or a secret for signing
    New(NewArgs),
    /// Print the SHA-256 of a token, for `token_sha256` and `--ws-token-sha256`
    Hash(HashArgs),
    /// Sign a JWT with a shared secret
    Sign(SignArgs),
    /// Show what stands in a JWT
    Inspect(InspectArgs),
}

/// What `token new` takes.
#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  portcullis token new
      Prints a token and its SHA-256
  portcullis token new --out token
      Puts it into a new file that only you can read")]
pub(crate) struct NewArgs {
    /// A new file to put it into; an existing one is left alone
    #[arg(long, value_name = "FILE")]
    out: Option<String>,
}

/// What `token hash` takes.
#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  portcullis token hash token
  pass show gate | portcullis token hash")]
pub(crate) struct HashArgs {
    /// The file with the token; standard input without one
    file: Option<String>,
}

/// What `token sign` takes.
#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  portcullis token sign --secret-file secret --sub ada --aud gate --ttl 1h
  portcullis token sign --secret-file secret --sub ada --scope 'chat admin' --claim tier=pro")]
pub(crate) struct SignArgs {
    /// File with the secret, of at least 32 bytes
    #[arg(long, value_name = "PATH")]
    secret_file: String,

    /// The algorithm
    #[arg(long, value_name = "NAME", default_value = "HS256")]
    algorithm: Algorithm,

    /// Whose token it is
    #[arg(long, value_name = "SUBJECT")]
    sub: Option<String>,

    /// Who issues it
    #[arg(long, value_name = "ISSUER")]
    iss: Option<String>,

    /// For whom it is meant
    #[arg(long, value_name = "AUDIENCE")]
    aud: Option<String>,

    /// What it permits, separated by spaces
    #[arg(long, value_name = "SCOPES")]
    scope: Option<String>,

    /// How long it lives
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = time)]
    ttl: Duration,

    /// Another claim; the value is JSON, or else text
    #[arg(long, value_name = "NAME=VALUE", value_parser = claim)]
    claim: Vec<(String, Value)>,
}

/// What `token inspect` takes.
#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  portcullis token inspect < token
      Decodes without checking anything
  portcullis token inspect --secret-file secret token
      Checks signature and time as well; exit code 1 when they are not good")]
pub(crate) struct InspectArgs {
    /// The file with the JWT; standard input without one
    file: Option<String>,

    /// Verify it with the secret in this file
    #[arg(long, value_name = "PATH")]
    secret_file: Option<String>,

    /// The algorithm that it must have
    #[arg(
        long,
        value_name = "NAME",
        default_value = "HS256",
        requires = "secret_file"
    )]
    algorithm: Algorithm,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
#[value(rename_all = "UPPER")]
enum Algorithm {
    Hs256,
    Hs384,
    Hs512,
}

impl From<Algorithm> for hmac_jwt::Algorithm {
    fn from(algorithm: Algorithm) -> Self {
        match algorithm {
            Algorithm::Hs256 => Self::Hs256,
            Algorithm::Hs384 => Self::Hs384,
            Algorithm::Hs512 => Self::Hs512,
        }
    }
}

/// Does what `command` says.
pub(crate) fn run(command: &TokenCommand) -> anyhow::Result<Exit> {
    match command {
        TokenCommand::New(args) => new(args),
        TokenCommand::Hash(args) => hash(args),
        TokenCommand::Sign(args) => signed(args),
        TokenCommand::Inspect(args) => inspect(args),
    }
}

fn new(args: &NewArgs) -> anyhow::Result<Exit> {
    let token = secrets::random()?;
    let sha256 = secrets::sha256_hex(&token);
    if let Some(path) = &args.out {
        let path = expand(path);
        let what = || {
            format!(
                "cannot make {}; it is made new, and never overwritten",
                path.display()
            )
        };
        secrets::create(&path, &token).with_context(what)?;
        output::data(format_args!(
            "file:    {path}\nsha256:  {sha256}\n\n\
             Gate:    portcullis serve --ws-auth capability-token --ws-token-file {path} --upstream URL\n\
             Client:  Authorization: Bearer $(cat {path})\n",
            path = path.display()
        ));
    } else {
        output::data(format_args!(
            "token:   {token}\nsha256:  {sha256}\n\n\
             Gate:    portcullis serve --ws-auth capability-token --ws-token-sha256 {sha256} --upstream URL\n\
             Client:  Authorization: Bearer {token}\n"
        ));
    }
    Ok(Exit::Clean)
}

fn hash(args: &HashArgs) -> anyhow::Result<Exit> {
    let token = read(args.file.as_deref())?;
    output::data(format_args!("{}\n", secrets::sha256_hex(&token)));
    Ok(Exit::Clean)
}

fn signed(args: &SignArgs) -> anyhow::Result<Exit> {
    let secret = secret(&args.secret_file)?;
    let now = SystemClock::new().now();
    let mut claims = Map::new();
    let texts = [
        ("sub", &args.sub),
        ("iss", &args.iss),
        ("aud", &args.aud),
        ("scope", &args.scope),
    ];
    for (name, value) in texts {
        if let Some(value) = value {
            claims.insert(name.to_owned(), value.as_str().into());
        }
    }
    claims.insert("iat".to_owned(), now.as_secs().into());
    claims.insert("exp".to_owned(), now.after(args.ttl).as_secs().into());
    claims.extend(args.claim.iter().cloned());
    let token = sign::sign(&secret, args.algorithm.into(), claims);
    output::data(format_args!("{token}\n"));
    Ok(Exit::Clean)
}

fn inspect(args: &InspectArgs) -> anyhow::Result<Exit> {
    let token = read(args.file.as_deref())?;
    let found =
        hmac_jwt::dangerous_inspect(&token).map_err(|reason| anyhow::anyhow!("{reason}"))?;
    let rejection = match &args.secret_file {
        Some(path) => Some(verify(&token, path, args.algorithm)?),
        None => None,
    };
    let verdict = match &rejection {
        None => "not checked",
        Some(None) => "good",
        Some(Some(rejection)) => word(rejection),
    };
    let shown = json!({ "verified": verdict, "header": found.header, "claims": found.claims });
    output::data(format_args!("{shown:#}\n"));
    match rejection {
        None => output::say(
            "note: nothing was verified; anybody can write such a token. Use --secret-file to check it.\n",
        ),
        Some(None) => {}
        Some(Some(_)) => return Ok(Exit::Failed),
    }
    Ok(Exit::Clean)
}

/// Why the token is no good, if it is none.
fn verify(
    token: &str,
    secret_file: &str,
    algorithm: Algorithm,
) -> anyhow::Result<Option<Rejection>> {
    let verifier = HmacJwt::new("inspect", algorithm.into(), [secret(secret_file)?])?;
    let credential = Credential::new(token, CarrierKind::Header);
    let now = SystemClock::new().now();
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let verified = runtime.block_on(portcullis_boundary::Verifier::verify(
        &verifier,
        &credential,
        now,
    ));
    Ok(verified.err())
}

fn word(rejection: &Rejection) -> &'static str {
    match rejection {
        Rejection::AccountDisabled => "of a disabled account",
        Rejection::Expired => "expired",
        Rejection::Invalid(_) => "wrong: signature, algorithm or form",
        Rejection::KeyUnknown => "signed with an unknown key",
        Rejection::NotYetValid => "not valid yet",
        Rejection::Revoked => "revoked",
        Rejection::Unavailable { .. } => "cannot be checked",
    }
}

fn secret(path: &str) -> anyhow::Result<HmacSecret> {
    let file = SecretFile::read(expand(path))?;
    if let Some(warning) = file.warning() {
        output::say(format_args!("warning: {warning}\n"));
    }
    Ok(HmacSecret::from_file(&file)?)
}

/// The token in a file or on standard input.
fn read(file: Option<&str>) -> anyhow::Result<String> {
    let text = match file {
        Some(path) => {
            let path: PathBuf = expand(path);
            let unreadable = |path: &Path| format!("cannot read {}", path.display());
            std::fs::read_to_string(&path).with_context(|| unreadable(&path))?
        }
        None => {
            let mut text = String::new();
            std::io::stdin()
                .read_to_string(&mut text)
                .context("cannot read standard input")?;
            text
        }
    };
    let token = text.trim();
    if token.is_empty() {
        bail!("there is no token to read");
    }
    Ok(token.to_owned())
}

fn time(text: &str) -> Result<Duration, String> {
    config::duration(text).map_err(|bad| format!("{}; {}", bad.what, bad.mend))
}

fn claim(text: &str) -> Result<(String, Value), String> {
    let (name, value) = text.split_once('=').ok_or("write NAME=VALUE")?;
    let value = serde_json::from_str(value).unwrap_or_else(|_| value.into());
    Ok((name.to_owned(), value))
}
