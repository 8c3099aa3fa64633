//! The verifiers of a file.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use portcullis_boundary::{DynVerifier, Scopes};
use portcullis_verifiers::hmac_jwt::{self, HmacSecret};
use portcullis_verifiers::{CapabilityTokens, ConfigError, HmacJwt};

use super::at::At;
use super::builder::Builder;
use super::file::{self, Algorithm, VerifierKind};
use super::problem::Problem;

/// A verifier that is ready to be made for a route.
#[derive(Clone)]
pub(crate) enum Recipe {
    /// Tokens, which are the same on every route.
    Capability(Arc<dyn DynVerifier>),
    /// JWTs.
    Jwt(JwtRecipe),
}

impl Recipe {
    /// What it reads.
    pub(crate) const fn kind(&self) -> VerifierKind {
        match self {
            Self::Capability(_) => VerifierKind::CapabilityToken,
            Self::Jwt(_) => VerifierKind::HmacJwt,
        }
    }

    /// The verifier for a route where it is `alone` or not, and whose rules need `claims` or not.
    pub(crate) fn make(
        &self,
        alone: bool,
        claims: bool,
    ) -> Result<Arc<dyn DynVerifier>, ConfigError> {
        match self {
            Self::Capability(verifier) => Ok(Arc::clone(verifier)),
            Self::Jwt(jwt) => {
                let verifier = jwt.make()?.only_jwt_shapes(!alone).keep_claims(claims);
                Ok(Arc::new(verifier))
            }
        }
    }
}

/// What a verifier of JWTs is made of.
#[derive(Clone)]
pub(crate) struct JwtRecipe {
    /// Its name.
    pub(crate) name: Box<str>,
    /// The one algorithm.
    pub(crate) algorithm: hmac_jwt::Algorithm,
    /// The secrets.
    pub(crate) secrets: Vec<HmacSecret>,
    /// The issuer; blank for any.
    pub(crate) issuer: String,
    /// The audience; blank for any.
    pub(crate) audience: String,
    /// How far clocks may be apart.
    pub(crate) max_clock_skew: Option<Duration>,
}

impl JwtRecipe {
    fn make(&self) -> Result<HmacJwt, ConfigError> {
        let verifier = HmacJwt::new(self.name.clone(), self.algorithm, self.secrets.clone())?
            .with_issuer(&self.issuer)
            .with_audience(&self.audience);
        match self.max_clock_skew {
            Some(skew) => verifier.max_clock_skew(skew),
            None => Ok(verifier),
        }
    }
}

/// The verifiers of a file by name; those with problems are there, with none.
pub(super) fn build<'a>(
    builder: &mut Builder,
    verifiers: &'a BTreeMap<At<String>, At<file::Verifier>>,
) -> BTreeMap<&'a str, Option<Recipe>> {
    verifiers
        .iter()
        .map(|(name, verifier)| {
            let recipe = match verifier.value.kind.value {
                VerifierKind::CapabilityToken => capability(builder, name, &verifier.value),
                VerifierKind::HmacJwt => jwt(builder, name, &verifier.value),
            };
            (&*name.value, recipe)
        })
        .collect()
}

fn capability(
    builder: &mut Builder,
    name: &At<String>,
    verifier: &file::Verifier,
) -> Option<Recipe> {
    let file::Verifier {
        algorithm,
        secret_files,
        issuer,
        audience,
        max_clock_skew,
        ..
    } = verifier;
    let foreign = [
        algorithm.as_ref().map(|at| ("algorithm", &at.span)),
        secret_files.as_ref().map(|at| ("secret_files", &at.span)),
        issuer.as_ref().map(|at| ("issuer", &at.span)),
        audience.as_ref().map(|at| ("audience", &at.span)),
        max_clock_skew
            .as_ref()
            .map(|at| ("max_clock_skew", &at.span)),
    ];
    let is_pure = check_keys(builder, verifier, foreign, "hmac-jwt");
    let sources = [
        &verifier.token_file,
        &verifier.token_sha256,
        &verifier.tokens_file,
    ];
    let mut given = sources.into_iter().flatten();
    let built = match (given.next(), given.next()) {
        (Some(source), None) => tokens(builder, name, verifier, source)?,
        (first, second) => {
            let what = format!(
                "the verifier `{}` needs exactly one source of tokens",
                name.value
            );
            let mend = "keep one of `token_file`, `token_sha256` and `tokens_file`";
            let place = second.or(first).map_or(&verifier.kind.span, |at| &at.span);
            builder.report(Problem::new(what, mend).at(place));
            return None;
        }
    };
    let built = match &verifier.subject {
        Some(subject) => built.with_subject(subject.value.as_str()),
        None => built,
    };
    let scopes = verifier.scopes.iter().flat_map(|scopes| &scopes.value);
    let scopes: Scopes = scopes.map(String::as_str).collect();
    is_pure.then(|| Recipe::Capability(Arc::new(built.with_scopes(scopes))))
}

fn tokens(
    builder: &mut Builder,
    name: &At<String>,
    verifier: &file::Verifier,
    source: &At<String>,
) -> Option<CapabilityTokens> {
    let name = name.value.as_str();
    if verifier.token_sha256.is_some() {
        let built = CapabilityTokens::from_sha256_hex(name, source.value.trim())
            .map_err(|_| "this is not a SHA-256 in hex");
        let mend = "write 64 hexadecimal characters; `portcullis token hash` prints them";
        return builder.take(built, source, mend);
    }
    let file = builder.secret(source)?;
    let built = if verifier.tokens_file.is_some() {
        CapabilityTokens::from_tokens_file(name, file.expose())
    } else {
        CapabilityTokens::from_token(name, file.expose())
    };
    built
        .map_err(|error| builder.refuse_secret(&error, source))
        .ok()
}

fn jwt(builder: &mut Builder, name: &At<String>, verifier: &file::Verifier) -> Option<Recipe> {
    let file::Verifier {
        token_file,
        token_sha256,
        tokens_file,
        subject,
        scopes,
        ..
    } = verifier;
    let foreign = [
        token_file.as_ref().map(|at| ("token_file", &at.span)),
        token_sha256.as_ref().map(|at| ("token_sha256", &at.span)),
        tokens_file.as_ref().map(|at| ("tokens_file", &at.span)),
        subject.as_ref().map(|at| ("subject", &at.span)),
        scopes.as_ref().map(|at| ("scopes", &at.span)),
    ];
    let is_pure = check_keys(builder, verifier, foreign, "capability-token");
    let max_clock_skew = builder.duration(verifier.max_clock_skew.as_ref());
    let files = verifier
        .secret_files
        .as_ref()
        .filter(|files| !files.value.is_empty());
    let Some(files) = files else {
        let what = format!("the verifier `{}` has no secret", name.value);
        let mend = "add `secret_files = [\"secret.txt\"]`; several while one replaces another";
        builder.report(Problem::new(what, mend).at(&verifier.kind.span));
        return None;
    };
    let mut secrets = Vec::new();
    for written in &files.value {
        let Some(file) = builder.secret(written) else {
            continue;
        };
        match HmacSecret::from_file(&file) {
            Ok(secret) => secrets.push(secret),
            Err(error) => builder.refuse_secret(&error, written),
        }
    }
    let text = |value: &Option<At<String>>| {
        value
            .as_ref()
            .map(|at| at.value.clone())
            .unwrap_or_default()
    };
    let is_whole = secrets.len() == files.value.len();
    let recipe = JwtRecipe {
        name: name.value.as_str().into(),
        algorithm: algorithm(
            verifier
                .algorithm
                .as_ref()
                .map_or_else(Algorithm::default, |at| at.value),
        ),
        secrets,
        issuer: text(&verifier.issuer),
        audience: text(&verifier.audience),
        max_clock_skew,
    };
    (is_pure && is_whole).then_some(Recipe::Jwt(recipe))
}

const fn algorithm(written: Algorithm) -> hmac_jwt::Algorithm {
    match written {
        Algorithm::Hs256 => hmac_jwt::Algorithm::Hs256,
        Algorithm::Hs384 => hmac_jwt::Algorithm::Hs384,
        Algorithm::Hs512 => hmac_jwt::Algorithm::Hs512,
    }
}

/// Whether no key belongs to a verifier of another kind.
fn check_keys<'a>(
    builder: &mut Builder,
    verifier: &file::Verifier,
    foreign: impl IntoIterator<Item = Option<(&'a str, &'a std::ops::Range<usize>)>>,
    their_kind: &str,
) -> bool {
    let mut is_pure = true;
    for (key, span) in foreign.into_iter().flatten() {
        is_pure = false;
        let what = format!("`{key}` is a key of verifiers of the kind `{their_kind}`");
        let mend = format!("remove it, or write `kind = \"{their_kind}\"`");
        builder.report(
            Problem::new(what, mend)
                .at(span)
                .beside(&verifier.kind.span, "its kind"),
        );
    }
    is_pure
}
