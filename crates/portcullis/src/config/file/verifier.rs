//! `[verifier.NAME]`: the keys of all kinds, of which each kind reads its own.

use std::ops::Range;

use schemars::JsonSchema;
use serde::Deserialize;

use super::At;
use super::Names;

/// Who says whether a credential is true.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Verifier {
    /// What it reads.
    pub(crate) kind: At<VerifierKind>,
    /// `capability-token`: a file that holds one token.
    pub(crate) token_file: Option<At<String>>,
    /// `capability-token`: the SHA-256 of the token, in hex.
    pub(crate) token_sha256: Option<At<String>>,
    /// `capability-token`: a file with a `name:token` in each line.
    pub(crate) tokens_file: Option<At<String>>,
    /// `capability-token`: who comes with the token.
    pub(crate) subject: Option<At<String>>,
    /// `capability-token`: what who comes with the token may do.
    pub(crate) scopes: Option<At<Vec<String>>>,
    /// `hmac-jwt`: the one algorithm that is taken.
    pub(crate) algorithm: Option<At<Algorithm>>,
    /// `hmac-jwt`: files with a secret each, of at least 32 bytes. Several for rotation.
    pub(crate) secret_files: Option<At<Vec<At<String>>>>,
    /// `hmac-jwt`, `jwks`, `introspection`: the `iss` that a token must have.
    pub(crate) issuer: Option<At<String>>,
    /// `hmac-jwt`, `jwks`, `introspection`: the `aud` that a token must have; of `jwks` a list, too.
    pub(crate) audience: Option<At<Names>>,
    /// `hmac-jwt`, `jwks`, `firebase`: how far clocks may be apart; 30s by default.
    pub(crate) max_clock_skew: Option<At<String>>,
    /// `jwks`: several issuers, instead of one whose keys stand in the verifier's own table.
    pub(crate) issuers: Option<At<Vec<At<Issuer>>>>,
    /// `jwks`: see an issuer's.
    pub(crate) dangerously_accept_any_audience: Option<At<bool>>,
    /// `jwks`: see an issuer's.
    pub(crate) algorithms: Option<At<Vec<At<String>>>>,
    /// `jwks`, `firebase`: where the JWK Set is.
    pub(crate) jwks_url: Option<At<String>>,
    /// `jwks`: see an issuer's.
    pub(crate) jwks_file: Option<At<String>>,
    /// `jwks`: see an issuer's.
    pub(crate) discovery_url: Option<At<String>>,
    /// `jwks`: see an issuer's.
    pub(crate) token_type: Option<At<String>>,
    /// `jwks`, `introspection`, `callout`: the claim that says whose it is; `sub` by default.
    pub(crate) subject_claim: Option<At<String>>,
    /// `jwks`: see an issuer's.
    pub(crate) required_claims: Option<At<Vec<String>>>,
    /// `jwks`, `firebase`: how long keys count.
    pub(crate) keys: Option<At<KeyTimes>>,
    /// `firebase`: the project's id.
    pub(crate) project: Option<At<String>>,
    /// `firebase`: where the Identity Toolkit is asked for the state of accounts, such as an
    /// emulator's address; Google's by default, where there is a `bearer_file`.
    pub(crate) accounts_url: Option<At<String>>,
    /// `introspection`, `callout`: whom it asks.
    pub(crate) url: Option<At<String>>,
    /// `callout`: how the credential is told.
    pub(crate) method: Option<At<Method>>,
    /// `introspection`, `callout`: as whom it asks, together with `client_secret_file`.
    pub(crate) client_id: Option<At<String>>,
    /// `introspection`, `callout`: a file with the client's secret, read for each question.
    pub(crate) client_secret_file: Option<At<String>>,
    /// `introspection`, `callout`, `firebase`: a file with the bearer token with which it asks, read
    /// for each question.
    pub(crate) bearer_file: Option<At<String>>,
    /// `introspection`, `callout`, `firebase`: how long an answer may take; of `callout` 1s by
    /// default, of the others 2s.
    pub(crate) timeout: Option<At<String>>,
    /// `introspection`, `firebase`: for how long a good answer is remembered; 30s and 10s by default.
    pub(crate) remember_for: Option<At<String>>,
    /// `introspection`: for how long a bad answer is remembered; 5s by default.
    pub(crate) remember_refused_for: Option<At<String>>,
    /// `jwks`, `firebase`, `introspection`, `callout`: whether to ask over `http` outside of this
    /// machine. Whoever is between can read the question and answer it.
    pub(crate) dangerously_allow_http: Option<At<bool>>,
    /// `login`: the logins that count; all of the file by default.
    pub(crate) logins: Option<At<Vec<At<String>>>>,
}

impl Verifier {
    /// The keys that are written, beside `kind`.
    pub(crate) fn given(&self) -> impl Iterator<Item = (&'static str, &Range<usize>)> {
        fn at<'a, T>(
            name: &'static str,
            value: &'a Option<At<T>>,
        ) -> Option<(&'static str, &'a Range<usize>)> {
            value.as_ref().map(|at| (name, &at.span))
        }
        macro_rules! all {
            ($($name:ident),+) => {{
                // A key that is new must be named here.
                let Self { kind: _, $($name),+ } = self;
                [$(at(stringify!($name), $name)),+]
            }};
        }
        let all = all!(
            token_file,
            token_sha256,
            tokens_file,
            subject,
            scopes,
            algorithm,
            secret_files,
            issuer,
            audience,
            max_clock_skew,
            issuers,
            dangerously_accept_any_audience,
            algorithms,
            jwks_url,
            jwks_file,
            discovery_url,
            token_type,
            subject_claim,
            required_claims,
            keys,
            project,
            accounts_url,
            url,
            method,
            client_id,
            client_secret_file,
            bearer_file,
            timeout,
            remember_for,
            remember_refused_for,
            dangerously_allow_http,
            logins
        );
        all.into_iter().flatten()
    }
}

/// What a verifier reads.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum VerifierKind {
    /// Opaque tokens.
    CapabilityToken,
    /// JSON Web Tokens signed with a shared secret.
    HmacJwt,
    /// JSON Web Tokens signed with a private key, whose public key the issuer publishes.
    Jwks,
    /// ID tokens of a Firebase project.
    Firebase,
    /// Tokens about which their issuer is asked (RFC 7662).
    Introspection,
    /// Credentials about which a service of one's own is asked.
    Callout,
    /// Keys of the ledger, which `portcullis key` makes and takes back.
    ApiKey,
    /// The cookies of people who logged in.
    Login,
}

impl VerifierKind {
    /// Every kind, in the order of the documentation.
    pub(crate) const ALL: [Self; 8] = [
        Self::CapabilityToken,
        Self::HmacJwt,
        Self::Jwks,
        Self::Firebase,
        Self::Introspection,
        Self::Callout,
        Self::ApiKey,
        Self::Login,
    ];

    /// Its name in the file.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::CapabilityToken => "capability-token",
            Self::HmacJwt => "hmac-jwt",
            Self::Jwks => "jwks",
            Self::Firebase => "firebase",
            Self::Introspection => "introspection",
            Self::Callout => "callout",
            Self::ApiKey => "api-key",
            Self::Login => "login",
        }
    }

    /// The keys that it reads.
    pub(crate) const fn keys(self) -> &'static [&'static str] {
        match self {
            Self::CapabilityToken => CAPABILITY_TOKEN,
            Self::HmacJwt => HMAC_JWT,
            Self::Jwks => JWKS,
            Self::Firebase => FIREBASE,
            Self::Introspection => INTROSPECTION,
            Self::Callout => CALLOUT,
            Self::ApiKey => &[],
            Self::Login => &["logins"],
        }
    }
}

/// The algorithms of `hmac-jwt`.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq)]
pub(crate) enum Algorithm {
    /// HMAC with SHA-256.
    #[default]
    #[serde(rename = "HS256")]
    Hs256,
    /// HMAC with SHA-384.
    #[serde(rename = "HS384")]
    Hs384,
    /// HMAC with SHA-512.
    #[serde(rename = "HS512")]
    Hs512,
}

/// How a credential is told to a service.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Method {
    /// In the body.
    #[default]
    Post,
    /// As a bearer, such as to `userinfo` of OpenID Connect.
    Get,
}

/// An issuer of `jwks`, and where its keys are: by `jwks_url`, by `jwks_file`, or else by discovery.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Issuer {
    /// The `iss` of its tokens.
    pub(crate) issuer: Option<At<String>>,
    /// The `aud` that its tokens must have, or several of which they must have one.
    pub(crate) audience: Option<At<Names>>,
    /// Whether tokens for any service at all are taken, instead of an `audience`.
    pub(crate) dangerously_accept_any_audience: Option<At<bool>>,
    /// The algorithms that are taken; every asymmetric one by default.
    pub(crate) algorithms: Option<At<Vec<At<String>>>>,
    /// Where the JWK Set is.
    pub(crate) jwks_url: Option<At<String>>,
    /// A file with a JWK Set.
    pub(crate) jwks_file: Option<At<String>>,
    /// Below which `/.well-known/openid-configuration` is; by default the issuer itself.
    pub(crate) discovery_url: Option<At<String>>,
    /// The `typ` that a token must have, such as `at+jwt`.
    pub(crate) token_type: Option<At<String>>,
    /// The claim that says whose it is; `sub` by default.
    pub(crate) subject_claim: Option<At<String>>,
    /// Claims that must be there, whatever their values.
    pub(crate) required_claims: Option<At<Vec<String>>>,
    /// How far clocks may be apart; 30s by default.
    pub(crate) max_clock_skew: Option<At<String>>,
    /// How long keys count.
    pub(crate) keys: Option<At<KeyTimes>>,
    /// Whether to ask over `http` outside of this machine. Whoever is between can answer.
    pub(crate) dangerously_allow_http: Option<At<bool>>,
}

/// How long keys count that are fetched, and how often they are asked for.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct KeyTimes {
    /// For how long they are fresh when their owner does not say; 10m by default.
    pub(crate) default_age: Option<At<String>>,
    /// The shortest time for which they are fresh, whatever their owner says; 1m by default.
    pub(crate) min_age: Option<At<String>>,
    /// The longest; 1h by default.
    pub(crate) max_age: Option<At<String>>,
    /// For how long they serve beyond that while new ones cannot be had; 1h by default.
    pub(crate) max_stale: Option<At<String>>,
    /// How often an unknown `kid` may have them fetched; 30s by default.
    pub(crate) unknown_kid_interval: Option<At<String>>,
    /// The longest wait between fetches that fail; 1m by default.
    pub(crate) max_backoff: Option<At<String>>,
    /// How long a fetch may take, and who waits for it; 5s by default.
    pub(crate) fetch_timeout: Option<At<String>>,
}

const CAPABILITY_TOKEN: &[&str] = &[
    "token_file",
    "token_sha256",
    "tokens_file",
    "subject",
    "scopes",
];

const HMAC_JWT: &[&str] = &[
    "algorithm",
    "secret_files",
    "issuer",
    "audience",
    "max_clock_skew",
];

const JWKS: &[&str] = &[
    "issuers",
    "issuer",
    "audience",
    "dangerously_accept_any_audience",
    "algorithms",
    "jwks_url",
    "jwks_file",
    "discovery_url",
    "token_type",
    "subject_claim",
    "required_claims",
    "max_clock_skew",
    "keys",
    "dangerously_allow_http",
];

const FIREBASE: &[&str] = &[
    "project",
    "jwks_url",
    "max_clock_skew",
    "keys",
    "accounts_url",
    "bearer_file",
    "timeout",
    "remember_for",
    "dangerously_allow_http",
];

const INTROSPECTION: &[&str] = &[
    "url",
    "client_id",
    "client_secret_file",
    "bearer_file",
    "issuer",
    "audience",
    "subject_claim",
    "timeout",
    "remember_for",
    "remember_refused_for",
    "dangerously_allow_http",
];

const CALLOUT: &[&str] = &[
    "url",
    "method",
    "client_id",
    "client_secret_file",
    "bearer_file",
    "subject_claim",
    "timeout",
    "dangerously_allow_http",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_has_in_code_the_name_that_it_has_in_the_file() {
        for kind in VerifierKind::ALL {
            let named: VerifierKind = serde_json::from_value(kind.as_str().into()).expect("a kind");
            assert_eq!(named, kind);
        }
    }

    #[test]
    fn each_key_is_read_by_some_kind_and_no_kind_reads_what_is_no_key() {
        let schema = serde_json::to_value(schemars::schema_for!(Verifier)).expect("JSON");
        let written = schema["properties"].as_object().expect("keys");
        for key in written.keys().filter(|key| *key != "kind") {
            let mut kinds = VerifierKind::ALL.into_iter();
            assert!(kinds.any(|kind| kind.keys().contains(&&**key)), "{key}");
        }
        for key in VerifierKind::ALL.into_iter().flat_map(VerifierKind::keys) {
            assert!(written.contains_key(*key), "{key}");
        }
    }
}
