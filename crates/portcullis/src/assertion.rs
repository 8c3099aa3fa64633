//! What a gate says of an identity, signed: a JWT for upstreams that must be sure of it.

use std::fmt;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::HeaderValue;
use portcullis_boundary::Identity;
use portcullis_boundary::clock::Timestamp;
use portcullis_gateway::config::Assert;
use rustls_pki_types::PrivatePkcs8KeyDer;
use rustls_pki_types::pem::PemObject;
use serde_json::{Value, json};

/// How long an assertion is good: it is read when it arrives.
const LIFE: Duration = Duration::from_secs(60);

/// Signs with an Ed25519 key (RFC 8037).
pub(crate) struct Signer {
    issuer: String,
    key: Ed25519KeyPair,
    key_id: String,
}

impl Signer {
    /// Signs as `issuer` with the key in `pem`, as `openssl genpkey -algorithm ed25519` writes it.
    ///
    /// # Errors
    ///
    /// What is wrong with the key; nothing of it is in that.
    pub(crate) fn from_pem(issuer: &str, pem: &[u8]) -> Result<Self, &'static str> {
        let der = PrivatePkcs8KeyDer::from_pem_slice(pem)
            .map_err(|_| "this is no private key in PEM (PKCS #8)")?;
        let key = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der.secret_pkcs8_der())
            .map_err(|_| "this is no Ed25519 key")?;
        let thumbprint = digest(&SHA256, canonical(&key).as_bytes());
        Ok(Self {
            issuer: issuer.to_owned(),
            key_id: URL_SAFE_NO_PAD.encode(thumbprint),
            key,
        })
    }

    /// The key set with which assertions are checked (RFC 7517).
    pub(crate) fn key_set(&self) -> Value {
        json!({"keys": [{
            "kty": "OKP",
            "crv": "Ed25519",
            "x": public(&self.key),
            "alg": "EdDSA",
            "use": "sig",
            "kid": self.key_id,
        }]})
    }

    fn sign(&self, identity: &Identity, route: &str, now: Timestamp) -> String {
        let header = json!({"alg": "EdDSA", "typ": "JWT", "kid": self.key_id});
        let mut claims = json!({
            "iss": self.issuer,
            "aud": route,
            "sub": identity.subject(),
            "iat": now.as_secs(),
            "exp": now.after(LIFE).as_secs(),
        });
        let scopes = identity.scopes();
        let scopes = (!scopes.is_empty()).then(|| scopes.to_string());
        for (name, value) in [
            ("scope", scopes.as_deref()),
            ("original_issuer", identity.issuer()),
            ("credential_id", identity.credential_id()),
        ] {
            if let (Some(claims), Some(value)) = (claims.as_object_mut(), value) {
                claims.insert(name.to_owned(), value.into());
            }
        }
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(&header), part(&claims));
        let signature = URL_SAFE_NO_PAD.encode(self.key.sign(signed.as_bytes()));
        format!("{signed}.{signature}")
    }
}

impl Assert for Signer {
    fn assert(&self, identity: &Identity, route: &str, now: Timestamp) -> Option<HeaderValue> {
        let mut value = HeaderValue::try_from(self.sign(identity, route, now)).ok()?;
        value.set_sensitive(true);
        Some(value)
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer")
            .field("issuer", &self.issuer)
            .field("key_id", &self.key_id)
            .finish_non_exhaustive()
    }
}

fn public(key: &Ed25519KeyPair) -> String {
    URL_SAFE_NO_PAD.encode(key.public_key())
}

/// What is hashed into the key's id (RFC 7638, 3.2 and RFC 8037, 2).
fn canonical(key: &Ed25519KeyPair) -> String {
    format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{}"}}"#, public(key))
}

#[cfg(test)]
mod tests {
    use portcullis_boundary::Scopes;
    use portcullis_boundary::carrier::CarrierKind;
    use portcullis_boundary::{Credential, Verifier};
    use portcullis_verifiers::Jwks;
    use portcullis_verifiers::jwks::{Issuer, KeySet, KeySource};

    use super::*;

    /// RFC 8037, A.1.
    const PEM: &[u8] = b"-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n-----END PRIVATE KEY-----\n";

    #[test]
    fn an_upstream_that_knows_the_key_set_is_sure_of_the_identity_for_a_minute() {
        let signer = Signer::from_pem("https://gate.example", PEM).expect("a key");
        let set = signer.key_set();
        assert_eq!(
            set["keys"][0]["x"],
            "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"
        );
        // RFC 8037, A.3.
        assert_eq!(
            set["keys"][0]["kid"],
            "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"
        );
        let keys = KeySet::parse(set.to_string().as_bytes()).expect("a key set");
        let issuer = Issuer::new("https://gate.example", ["echo"], KeySource::fixed(keys));
        let verifier = Jwks::new("upstream", [issuer.expect("an issuer")]).expect("a verifier");
        let now = Timestamp::from_secs(1_800_000_000);
        let ada = Identity::new("ada").with_scopes(Scopes::parse("read"));
        let check = |route: &str, at: Timestamp| {
            let value = signer.assert(&ada, route, now).expect("a value");
            assert!(value.is_sensitive());
            let text = value.to_str().expect("ASCII").to_owned();
            let credential = Credential::new(text, CarrierKind::Header);
            let runtime = tokio::runtime::Builder::new_current_thread()
                .build()
                .expect("a runtime");
            runtime.block_on(verifier.verify(&credential, at))
        };
        let read = check("echo", now).expect("vouched for");
        assert_eq!(
            (read.subject(), read.scopes().to_string()),
            ("ada", "read".to_owned())
        );
        assert!(check("other", now).is_err(), "it is for one route");
        assert!(check("echo", now.after(Duration::from_secs(100))).is_err());
    }

    #[test]
    fn what_is_no_ed25519_key_is_named_and_not_shown() {
        assert!(Signer::from_pem("i", b"secret").is_err());
        let signer = Signer::from_pem("i", PEM).expect("a key");
        assert!(!format!("{signer:?}").contains("nWGx"));
    }
}
