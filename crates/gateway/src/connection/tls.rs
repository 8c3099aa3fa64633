//! TLS, where the listener speaks it.

use std::time::Duration;

use portcullis_boundary::Peer;
use rustls_pki_types::CertificateDer;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use crate::config::Listener;
use crate::stream::Stream;

/// Shakes hands, within `limit`; none when the client cannot.
pub(super) async fn accept(
    listener: &Listener,
    stream: Stream,
    peer: Peer,
    limit: Duration,
) -> Option<(Stream, Peer)> {
    let (config, socket) = match (&listener.tls, stream) {
        (Some(config), Stream::Tcp(socket)) => (config.load_full(), socket),
        (_, plain) => return Some((plain, peer)),
    };
    let shaken = Box::pin(timeout(limit, TlsAcceptor::from(config).accept(socket))).await;
    let error = match shaken {
        Ok(Ok(encrypted)) => {
            let certificate = encrypted
                .get_ref()
                .1
                .peer_certificates()
                .and_then(<[_]>::first);
            let peer = match certificate {
                Some(certificate) => peer.with_certificate(fingerprint(certificate)),
                None => peer,
            };
            return Some((Stream::ServerTls(Box::new(encrypted)), peer.encrypted()));
        }
        Ok(Err(error)) => error.to_string(),
        Err(_) => format!("it took longer than {limit:?}"),
    };
    let address = peer.address().map(tracing::field::display);
    tracing::debug!(target: "portcullis::tls", peer = address, error, "no TLS handshake");
    None
}

/// The SHA-256 of a verified client certificate: what an upstream can compare without parsing.
fn fingerprint(certificate: &CertificateDer<'_>) -> Box<str> {
    use std::fmt::Write as _;
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, certificate);
    let mut text = String::from("sha256:");
    for byte in digest.as_ref() {
        // Writing to a string cannot fail.
        let _: std::fmt::Result = write!(text, "{byte:02x}");
    }
    text.into()
}
