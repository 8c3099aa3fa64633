//! From a verifier of the file to those of routes.

use std::sync::Arc;

use portcullis_boundary::DynVerifier;
use portcullis_verifiers::firebase::IdentityToolkit;
use portcullis_verifiers::jwks::Keys;
use portcullis_verifiers::{ConfigError, Firebase, Jwks};

use super::hmac_jwt::JwtRecipe;
use crate::config::file::VerifierKind;

/// A verifier that is ready to be made for a route.
#[derive(Clone)]
pub(crate) enum Recipe {
    /// Tokens, which are the same on every route.
    Capability(Arc<dyn DynVerifier>),
    /// JWTs with a shared secret.
    HmacJwt(JwtRecipe),
    /// JWTs with a private key.
    Jwks(Jwks),
    /// ID tokens of Firebase.
    Firebase(Firebase),
    /// The same, with the state of accounts.
    FirebaseAccounts(Firebase<IdentityToolkit>),
    /// Keys of the ledger, which are the same on every route.
    ApiKeys(Arc<dyn DynVerifier>),
    /// Whatever somebody else vouches for.
    Asked {
        /// What it reads.
        kind: VerifierKind,
        /// For routes without rules about claims.
        without_claims: Arc<dyn DynVerifier>,
        /// For the others.
        with_claims: Arc<dyn DynVerifier>,
    },
}

/// What credentials look like that a verifier recognises. Of two that recognise the same shape the
/// second would never be asked.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Shape {
    /// Three segments with dots between.
    Jwt,
    /// `pk_…`: no other has that.
    ApiKey,
    /// `pl_…`: no other has that.
    Login,
    /// Any: it must be asked last.
    Any,
}

impl Recipe {
    /// What it reads.
    pub(crate) const fn kind(&self) -> VerifierKind {
        match self {
            Self::Capability(_) => VerifierKind::CapabilityToken,
            Self::HmacJwt(_) => VerifierKind::HmacJwt,
            Self::Jwks(_) => VerifierKind::Jwks,
            Self::Firebase(_) | Self::FirebaseAccounts(_) => VerifierKind::Firebase,
            Self::ApiKeys(_) => VerifierKind::ApiKey,
            Self::Asked { kind, .. } => *kind,
        }
    }

    /// What it recognises where it is not alone.
    pub(crate) const fn shape(&self) -> Shape {
        match self {
            Self::HmacJwt(_) | Self::Jwks(_) | Self::Firebase(_) | Self::FirebaseAccounts(_) => {
                Shape::Jwt
            }
            Self::ApiKeys(_) => Shape::ApiKey,
            Self::Asked {
                kind: VerifierKind::Login,
                ..
            } => Shape::Login,
            Self::Capability(_) | Self::Asked { .. } => Shape::Any,
        }
    }

    /// The keys that it uses, of each issuer.
    pub(crate) fn keys(&self) -> Vec<Keys> {
        match self {
            Self::Jwks(jwks) => jwks.keys().collect(),
            Self::Firebase(firebase) => firebase.keys().collect(),
            Self::FirebaseAccounts(firebase) => firebase.keys().collect(),
            Self::Capability(_) | Self::HmacJwt(_) | Self::ApiKeys(_) | Self::Asked { .. } => {
                Vec::new()
            }
        }
    }

    /// The verifier for a route where it is `alone` or not, and whose rules need `claims` or not.
    pub(crate) fn make(
        &self,
        alone: bool,
        claims: bool,
    ) -> Result<Arc<dyn DynVerifier>, ConfigError> {
        Ok(match self {
            Self::Capability(verifier) | Self::ApiKeys(verifier) => Arc::clone(verifier),
            Self::HmacJwt(jwt) => Arc::new(jwt.make()?.only_jwt_shapes(!alone).keep_claims(claims)),
            Self::Jwks(jwks) => {
                let jwks = jwks.clone();
                Arc::new(jwks.only_jwt_shapes(!alone).keep_claims(claims))
            }
            Self::Firebase(firebase) => {
                let firebase = firebase.clone();
                Arc::new(firebase.only_jwt_shapes(!alone).keep_claims(claims))
            }
            Self::FirebaseAccounts(firebase) => {
                let firebase = firebase.clone();
                Arc::new(firebase.only_jwt_shapes(!alone).keep_claims(claims))
            }
            Self::Asked { with_claims, .. } if claims => Arc::clone(with_claims),
            Self::Asked { without_claims, .. } => Arc::clone(without_claims),
        })
    }
}
