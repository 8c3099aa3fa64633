//! Who is asked over TLS, and shows a certificate that we trust or another one.

use std::time::Duration;

use portcullis_ledger::bus::{self, BusUrl, Health};
use portcullis_ledger::{Ledger, LedgerError, LedgerUrl, Settings, SqlLedger};
use portcullis_testing::{NatsServer, PostgresServer};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tempfile::TempDir;
use tokio::runtime::Handle;
use tokio::time::Instant;

/// An authority of our own, a server's certificate of it, and another authority.
struct Certificates {
    folder: TempDir,
    certificate: String,
    key: String,
}

impl Certificates {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let authority = |name| {
            let mut params = CertificateParams::default();
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            let key = KeyPair::generate().unwrap();
            let certificate = params.self_signed(&key).unwrap();
            std::fs::write(folder.path().join(name), certificate.pem()).unwrap();
            Issuer::new(params, key)
        };
        authority("other.pem");
        let issuer = authority("ours.pem");
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &issuer).unwrap().pem();
        Self {
            folder,
            certificate,
            key: key.serialize_pem(),
        }
    }

    fn file(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }
}

#[tokio::test]
async fn a_postgres_with_a_good_certificate_is_asked_and_no_other() {
    let certificates = Certificates::new();
    let server = PostgresServer::start_with_tls(&certificates.certificate, &certificates.key);
    let port = server.port().unwrap();
    let open = |rest: String| async move {
        let url = format!("postgres://postgres@127.0.0.1:{port}/postgres?{rest}");
        let url = LedgerUrl::parse(&url).unwrap();
        SqlLedger::open(url, Settings::default(), &Handle::current()).await
    };
    let with = |name| {
        format!(
            "sslmode=verify-full&sslrootcert={}",
            certificates.file(name)
        )
    };
    let ledger = open(with("ours.pem")).await.unwrap();
    assert_eq!(ledger.ping().await, Ok(()));
    for bad in [
        with("other.pem"),
        "sslmode=verify-full".to_owned(),
        "sslmode=disable".to_owned(),
    ] {
        let refused = open(bad.clone()).await;
        assert!(matches!(refused, Err(LedgerError::Unavailable(_))), "{bad}");
    }
}

#[tokio::test]
async fn a_nats_with_a_good_certificate_is_used_and_no_other() {
    let certificates = Certificates::new();
    let server = NatsServer::start_with_tls(&certificates.certificate, &certificates.key);
    let port = server.port();
    let open = |name| {
        let url = format!("nats://127.0.0.1:{port}?ca={}", certificates.file(name));
        let url = BusUrl::parse(&url).unwrap();
        async move { bus::open(url, "test", &Handle::current()).await.unwrap() }
    };
    let distrusted = open("other.pem").await;
    let trusted = open("ours.pem").await;
    let end = Instant::now() + Duration::from_secs(5);
    while trusted.health() == Health::Down {
        assert!(Instant::now() < end, "it connects");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(distrusted.health(), Health::Down);
}
