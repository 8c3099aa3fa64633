//! Issuers' private keys, and what they sign.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    self, EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair, RsaEncoding, RsaKeyPair,
};
use portcullis_verifiers::jwks::Algorithm;
use serde_json::{Value, json};

use crate::support::{NOW, encode};

/// A private key, the name of its public key, and the algorithm that it signs with.
pub(crate) struct Signer {
    kid: Option<&'static str>,
    algorithm: Algorithm,
    pair: Pair,
}

enum Pair {
    Ec(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
    Rsa(RsaKeyPair),
}

impl Signer {
    /// A new key.
    pub(crate) fn new(algorithm: Algorithm, kid: &'static str) -> Self {
        let ec = |algorithm: &'static EcdsaSigningAlgorithm| {
            Pair::Ec(EcdsaKeyPair::generate(algorithm).unwrap())
        };
        let pair = match algorithm {
            Algorithm::Es256 => ec(&signature::ECDSA_P256_SHA256_FIXED_SIGNING),
            Algorithm::Es384 => ec(&signature::ECDSA_P384_SHA384_FIXED_SIGNING),
            Algorithm::Es512 => ec(&signature::ECDSA_P521_SHA512_FIXED_SIGNING),
            Algorithm::EdDsa => Pair::Ed25519(Ed25519KeyPair::generate().unwrap()),
            _ => Pair::Rsa(next_rsa()),
        };
        Self {
            kid: Some(kid),
            algorithm,
            pair,
        }
    }

    /// A new key for ES256, the quickest to make.
    pub(crate) fn es256(kid: &'static str) -> Self {
        Self::new(Algorithm::Es256, kid)
    }

    /// The same key for another algorithm of its kind.
    pub(crate) fn with(mut self, algorithm: Algorithm) -> Self {
        self.algorithm = algorithm;
        self
    }

    /// The same key without a name.
    pub(crate) fn without_kid(mut self) -> Self {
        self.kid = None;
        self
    }

    pub(crate) fn jwk(&self) -> Value {
        let mut jwk = match &self.pair {
            Pair::Ec(pair) => {
                let point = &pair.public_key().as_ref()[1..];
                let (x, y) = point.split_at(point.len() / 2);
                let crv = match x.len() {
                    32 => "P-256",
                    48 => "P-384",
                    _ => "P-521",
                };
                json!({"kty": "EC", "crv": crv, "x": encode(x), "y": encode(y)})
            }
            Pair::Ed25519(pair) => {
                json!({"kty": "OKP", "crv": "Ed25519", "x": encode(pair.public_key())})
            }
            Pair::Rsa(pair) => {
                let (n, e) = components(pair.public_key().as_ref());
                json!({"kty": "RSA", "n": encode(n), "e": encode(e)})
            }
        };
        if let Some(kid) = self.kid {
            jwk["kid"] = kid.into();
        }
        jwk
    }

    /// A certificate in PEM of the public key, signed by itself.
    pub(crate) fn certificate(&self) -> String {
        let Pair::Rsa(pair) = &self.pair else {
            panic!("not an RSA key");
        };
        let pkcs8 = AsDer::<Pkcs8V1Der<'_>>::as_der(pair).unwrap();
        let key = rcgen::KeyPair::try_from(pkcs8.as_ref()).unwrap();
        let certificate = rcgen::CertificateParams::default().self_signed(&key);
        certificate.unwrap().pem()
    }

    /// The bytes of the public key that a verifier might be made to take for a shared secret.
    pub(crate) fn public_bytes(&self) -> Vec<u8> {
        match &self.pair {
            Pair::Ec(pair) => pair.public_key().as_ref().to_vec(),
            Pair::Ed25519(pair) => pair.public_key().as_ref().to_vec(),
            Pair::Rsa(pair) => pair.public_key().as_ref().to_vec(),
        }
    }

    /// A token with the usual header and these claims beside `iss`, `aud`, `sub` and `exp`.
    pub(crate) fn token(&self, issuer: &str, claims: Value) -> String {
        let mut all = json!({"iss": issuer, "aud": "gate", "sub": "ada", "exp": NOW + 60});
        for (name, value) in claims.as_object().unwrap() {
            all[name] = value.clone();
        }
        self.sign(&self.header(), &all)
    }

    pub(crate) fn header(&self) -> Value {
        let mut header = json!({"alg": self.algorithm.as_str()});
        if let Some(kid) = self.kid {
            header["kid"] = kid.into();
        }
        header
    }

    /// Signs whatever it is given, with its own algorithm whatever the header says.
    pub(crate) fn sign(&self, header: &Value, claims: &Value) -> String {
        let input = format!(
            "{}.{}",
            encode(header.to_string()),
            encode(claims.to_string())
        );
        let signature = self.signature(input.as_bytes());
        format!("{input}.{}", encode(signature))
    }

    fn signature(&self, input: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match &self.pair {
            Pair::Ec(pair) => pair.sign(&random, input).unwrap().as_ref().to_vec(),
            Pair::Ed25519(pair) => pair.sign(input).as_ref().to_vec(),
            Pair::Rsa(pair) => {
                let padding: &dyn RsaEncoding = match self.algorithm {
                    Algorithm::Rs384 => &signature::RSA_PKCS1_SHA384,
                    Algorithm::Rs512 => &signature::RSA_PKCS1_SHA512,
                    Algorithm::Ps256 => &signature::RSA_PSS_SHA256,
                    Algorithm::Ps384 => &signature::RSA_PSS_SHA384,
                    Algorithm::Ps512 => &signature::RSA_PSS_SHA512,
                    _ => &signature::RSA_PKCS1_SHA256,
                };
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(padding, &random, input, &mut signature).unwrap();
                signature
            }
        }
    }
}

/// Alternately one of two keys: each takes long to make.
fn next_rsa() -> RsaKeyPair {
    static MADE: [LazyLock<Vec<u8>>; 2] = [LazyLock::new(make_rsa), LazyLock::new(make_rsa)];
    static TURN: AtomicUsize = AtomicUsize::new(0);
    let turn = TURN.fetch_add(1, Ordering::Relaxed);
    RsaKeyPair::from_pkcs8(&MADE[turn % 2]).unwrap()
}

fn make_rsa() -> Vec<u8> {
    let pair = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
    AsDer::<Pkcs8V1Der<'_>>::as_der(&pair)
        .unwrap()
        .as_ref()
        .to_vec()
}

/// The text of a key set.
pub(crate) fn set(keys: impl IntoIterator<Item = Value>) -> String {
    json!({"keys": keys.into_iter().collect::<Vec<_>>()}).to_string()
}

/// The numbers of an `RSAPublicKey` in DER: a sequence of two integers.
fn components(der: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let (sequence, _) = element(der);
    let (n, rest) = element(sequence);
    let (e, _) = element(rest);
    let unsigned = |number: &[u8]| match number {
        [0, rest @ ..] => rest.to_vec(),
        all => all.to_vec(),
    };
    (unsigned(n), unsigned(e))
}

fn element(der: &[u8]) -> (&[u8], &[u8]) {
    let (length, header) = match der[1] {
        short @ 0..=0x7f => (usize::from(short), 2),
        0x81 => (usize::from(der[2]), 3),
        _ => (usize::from(der[2]) << 8 | usize::from(der[3]), 4),
    };
    der[header..].split_at(length)
}
