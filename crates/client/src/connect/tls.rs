//! Whom to believe, and who we are, in TLS.

use std::fmt;
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use crate::error::ConfigError;

/// How TLS is spoken.
#[derive(Clone)]
pub struct Tls(pub(crate) Arc<ClientConfig>);

impl Tls {
    /// Servers must be certified by an authority of the system.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Tls`] when the system has none.
    pub fn system() -> Result<Self, ConfigError> {
        let native = rustls_native_certs::load_native_certs();
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(native.certs);
        if roots.is_empty() {
            let why = native.errors.first().map(ToString::to_string);
            let why = why.unwrap_or_else(|| "none was found".to_owned());
            return Err(bad(format!(
                "the system's authorities cannot be read: {why}"
            )));
        }
        Self::build(roots, None)
    }

    /// No server is believed: for those who speak to this machine alone, without TLS.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Tls`] when TLS cannot be set up at all.
    pub fn none() -> Result<Self, ConfigError> {
        Self::build(RootCertStore::empty(), None)
    }

    /// Servers must be certified by one of the authorities in `pem`, and by no other.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Tls`] when there is none in it.
    pub fn trusting(pem: &[u8]) -> Result<Self, ConfigError> {
        Self::build(authorities(pem)?, None)
    }

    /// Servers must be certified by one of the authorities in `pem`, or by one of the system's, if it has any.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Tls`] when there is none in `pem`.
    pub fn also_trusting(pem: &[u8]) -> Result<Self, ConfigError> {
        let mut roots = authorities(pem)?;
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        Self::build(roots, None)
    }

    /// As [`Tls::system`], or [`Tls::trusting`] where `authorities` are given; and shows the certificate
    /// chain in `certificate` with the private key in `key`, all of them in PEM.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Tls`] when any of them cannot be used.
    pub fn with_client_certificate(
        authorities_pem: Option<&[u8]>,
        certificate: &[u8],
        key: &[u8],
    ) -> Result<Self, ConfigError> {
        let roots = match authorities_pem {
            Some(pem) => authorities(pem)?,
            None => {
                let mut roots = RootCertStore::empty();
                roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
                roots
            }
        };
        let chain = certificates(certificate)?;
        let key = PrivateKeyDer::from_pem_slice(key)
            .map_err(|error| bad(format!("the client's key cannot be read: {error}")))?;
        Self::build(roots, Some((chain, key)))
    }

    fn build(
        roots: RootCertStore,
        own: Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
    ) -> Result<Self, ConfigError> {
        let builder = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(|error| bad(error.to_string()))?
            .with_root_certificates(roots);
        let mut config = match own {
            None => builder.with_no_client_auth(),
            Some((chain, key)) => builder
                .with_client_auth_cert(chain, key)
                .map_err(|error| bad(format!("the client's certificate is no good: {error}")))?,
        };
        // A handshake of WebSocket is one of HTTP/1.1.
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self(Arc::new(config)))
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").finish_non_exhaustive()
    }
}

fn authorities(pem: &[u8]) -> Result<RootCertStore, ConfigError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(pem)? {
        roots
            .add(certificate)
            .map_err(|error| bad(format!("an authority is no good: {error}")))?;
    }
    Ok(roots)
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, ConfigError> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let chain = read.map_err(|error| bad(format!("this is not PEM: {error}")))?;
    if chain.is_empty() {
        return Err(bad("there is no certificate in the PEM".to_owned()));
    }
    Ok(chain)
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

fn bad(why: String) -> ConfigError {
    ConfigError::Tls { why: why.into() }
}
