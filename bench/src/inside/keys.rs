//! Issuers' keys, and the tokens that they sign.

use anyhow::{Context, Result};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256,
    RsaKeyPair,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

/// A private key.
pub(super) enum Signer {
    Rs256(RsaKeyPair),
    Es256(EcdsaKeyPair),
    EdDsa(Ed25519KeyPair),
}

impl Signer {
    /// One of each kind.
    pub(super) fn of_each_kind() -> Result<[Self; 3]> {
        let ec = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)?;
        Ok([
            Self::Rs256(RsaKeyPair::generate(KeySize::Rsa2048)?),
            Self::Es256(ec),
            Self::EdDsa(Ed25519KeyPair::generate()?),
        ])
    }

    pub(super) const fn algorithm(&self) -> &'static str {
        match self {
            Self::Rs256(_) => "RS256",
            Self::Es256(_) => "ES256",
            Self::EdDsa(_) => "EdDSA",
        }
    }

    /// The set of its public key.
    pub(super) fn key_set(&self) -> Result<Value> {
        let mut key = match self {
            Self::Rs256(pair) => {
                let (n, e) = numbers(pair.public_key().as_ref()).context("an RSA key in DER")?;
                json!({"kty": "RSA", "n": encode(n), "e": encode(e)})
            }
            Self::Es256(pair) => {
                let point = pair.public_key().as_ref();
                let (x, y) = (&point[1..33], &point[33..]);
                json!({"kty": "EC", "crv": "P-256", "x": encode(x), "y": encode(y)})
            }
            Self::EdDsa(pair) => {
                json!({"kty": "OKP", "crv": "Ed25519", "x": encode(pair.public_key())})
            }
        };
        key["kid"] = "k".into();
        Ok(json!({ "keys": [key] }))
    }

    /// A token of `subject` that lives until `expires`.
    pub(super) fn token(&self, subject: &str, expires: i64) -> Result<String> {
        let header = json!({"alg": self.algorithm(), "kid": "k"});
        let claims =
            json!({"iss": "https://issuer.example", "aud": "gate", "sub": subject, "exp": expires});
        let input = format!(
            "{}.{}",
            encode(header.to_string()),
            encode(claims.to_string())
        );
        let random = SystemRandom::new();
        let signature = match self {
            Self::Rs256(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, input.as_bytes(), &mut signature)?;
                signature
            }
            Self::Es256(pair) => pair.sign(&random, input.as_bytes())?.as_ref().to_vec(),
            Self::EdDsa(pair) => pair.sign(input.as_bytes()).as_ref().to_vec(),
        };
        Ok(format!("{input}.{}", encode(signature)))
    }
}

pub(super) fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The two numbers of an `RSAPublicKey` in DER, without the zero that keeps them positive.
fn numbers(der: &[u8]) -> Option<(&[u8], &[u8])> {
    let (sequence, _) = element(der)?;
    let (n, rest) = element(sequence)?;
    let (e, _) = element(rest)?;
    let unsigned = |number: &'_ [u8]| usize::from(number.first() == Some(&0));
    Some((&n[unsigned(n)..], &e[unsigned(e)..]))
}

/// What the element at the start of `der` holds, and what comes after it.
fn element(der: &[u8]) -> Option<(&[u8], &[u8])> {
    let (&first, rest) = der.get(1..)?.split_first()?;
    let bytes = usize::from(first & 0x7f);
    let (length, rest) = if first < 0x80 {
        (bytes, rest)
    } else {
        let (length, rest) = rest.split_at_checked(bytes)?;
        let length = length
            .iter()
            .fold(0, |sum, byte| sum * 256 + usize::from(*byte));
        (length, rest)
    };
    rest.split_at_checked(length)
}
