//! TLS configurations from PEM.
//!
//! The cryptography is aws-lc's, named here and nowhere left to a default of the process.

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::crypto::CryptoProvider;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use super::file::ClientAuth;

/// Why a certificate or key cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsError {
    /// The PEM has no certificate.
    #[error("there is no certificate in it")]
    NoCertificate,
    /// The PEM cannot be read.
    #[error("it is not PEM: {0}")]
    NotPem(String),
    /// The PEM has no private key.
    #[error("there is no private key in it")]
    NoKey,
    /// Certificate and key are not a pair, or cannot be used.
    #[error("certificate and key cannot be used together: {0}")]
    NoPair(rustls::Error),
    /// The authorities cannot be used.
    #[error("these authorities cannot be used: {0}")]
    BadAuthorities(String),
    /// The system has no authorities.
    #[error("this system has no certificate authorities: {0}")]
    NoRoots(String),
}

/// The configuration of a listener: TLS 1.2 and 1.3, HTTP/2 and HTTP/1.1.
pub(crate) fn server(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    clients: Option<Arc<dyn ClientCertVerifier>>,
) -> Result<ServerConfig, TlsError> {
    let builder = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(TlsError::NoPair)?;
    let builder = match clients {
        Some(verifier) => builder.with_client_cert_verifier(verifier),
        None => builder.with_no_client_auth(),
    };
    let mut config = builder
        .with_single_cert(chain, key)
        .map_err(TlsError::NoPair)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

/// Who checks client certificates against the authorities in `pem`.
pub(crate) fn clients(
    pem: &[u8],
    auth: ClientAuth,
) -> Result<Option<Arc<dyn ClientCertVerifier>>, TlsError> {
    let mut roots = RootCertStore::empty();
    add(&mut roots, pem)?;
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider());
    let builder = match auth {
        ClientAuth::Off => return Ok(None),
        ClientAuth::Optional => builder.allow_unauthenticated(),
        ClientAuth::Required => builder,
    };
    let built = builder.build();
    built
        .map(Some)
        .map_err(|error| TlsError::BadAuthorities(error.to_string()))
}

/// The configuration towards an upstream, which must be certified by the system's authorities or by
/// one of those in `pem`. The relay speaks HTTP/1.1.
pub(crate) fn client(pem: Option<&[u8]>) -> Result<ClientConfig, TlsError> {
    let mut roots = RootCertStore::empty();
    let native = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(native.certs);
    if let Some(pem) = pem {
        add(&mut roots, pem)?;
    }
    if roots.is_empty() {
        let why = native.errors.first().map(ToString::to_string);
        return Err(TlsError::NoRoots(
            why.unwrap_or_else(|| "none was found".to_owned()),
        ));
    }
    let bad = |error: &dyn std::fmt::Display| TlsError::BadAuthorities(error.to_string());
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider())
        .build()
        .map_err(|error| bad(&error))?;
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| bad(&error))?
        .with_webpki_verifier(verifier)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

/// The certificates in `pem`.
pub(crate) fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let chain = read.map_err(|error| TlsError::NotPem(error.to_string()))?;
    if chain.is_empty() {
        return Err(TlsError::NoCertificate);
    }
    Ok(chain)
}

/// The private key in `pem`.
pub(crate) fn private_key(pem: &[u8]) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_slice(pem).map_err(|error| match error {
        rustls_pki_types::pem::Error::NoItemsFound => TlsError::NoKey,
        other => TlsError::NotPem(other.to_string()),
    })
}

fn add(roots: &mut RootCertStore, pem: &[u8]) -> Result<(), TlsError> {
    for certificate in certificates(pem)? {
        roots
            .add(certificate)
            .map_err(|error| TlsError::BadAuthorities(error.to_string()))?;
    }
    Ok(())
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}
