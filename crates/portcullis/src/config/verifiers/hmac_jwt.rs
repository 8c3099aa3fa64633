//! `kind = "hmac-jwt"`

use std::time::Duration;

use portcullis_verifiers::hmac_jwt::{self, HmacSecret};
use portcullis_verifiers::{ConfigError, HmacJwt};

use super::build::one_audience;
use super::recipe::Recipe;
use crate::config::builder::Builder;
use crate::config::file::{self, Algorithm};
use crate::config::problem::Problem;

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
    pub(super) fn make(&self) -> Result<HmacJwt, ConfigError> {
        let verifier = HmacJwt::new(self.name.clone(), self.algorithm, self.secrets.clone())?
            .with_issuer(&self.issuer)
            .with_audience(&self.audience);
        match self.max_clock_skew {
            Some(skew) => verifier.max_clock_skew(skew),
            None => Ok(verifier),
        }
    }
}

pub(super) fn build(
    builder: &mut Builder,
    name: &str,
    verifier: &file::Verifier,
) -> Option<Recipe> {
    let max_clock_skew = builder.duration(verifier.max_clock_skew.as_ref());
    let files = verifier
        .secret_files
        .as_ref()
        .filter(|files| !files.value.is_empty());
    let Some(files) = files else {
        let what = format!("the verifier `{name}` has no secret");
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
    let is_whole = secrets.len() == files.value.len();
    let issuer = verifier.issuer.as_ref().map(|at| at.value.clone());
    let recipe = JwtRecipe {
        name: name.into(),
        algorithm: algorithm(
            verifier
                .algorithm
                .as_ref()
                .map_or_else(Algorithm::default, |at| at.value),
        ),
        secrets,
        issuer: issuer.unwrap_or_default(),
        audience: one_audience(builder, verifier.audience.as_ref()).unwrap_or_default(),
        max_clock_skew,
    };
    is_whole.then_some(Recipe::HmacJwt(recipe))
}

const fn algorithm(written: Algorithm) -> hmac_jwt::Algorithm {
    match written {
        Algorithm::Hs256 => hmac_jwt::Algorithm::Hs256,
        Algorithm::Hs384 => hmac_jwt::Algorithm::Hs384,
        Algorithm::Hs512 => hmac_jwt::Algorithm::Hs512,
    }
}
