//! Where a ledger is.

use std::fmt;
use std::path::PathBuf;

use sqlx::ConnectOptions;
use sqlx::postgres::{PgConnectOptions, PgSslMode};

use crate::error::LedgerError;

/// Where a ledger is, and how to enter.
///
/// | form | ledger |
/// | --- | --- |
/// | `sqlite:PATH` | a file, which is made when it is not there |
/// | `sqlite::memory:` | memory, for tests: it is forgotten with the process |
/// | `postgres://USER:PASSWORD@HOST/DATABASE` | a PostgreSQL; also `postgresql:` |
///
/// After a `?`, PostgreSQL's `sslmode`, `sslrootcert`, `sslcert`, `sslkey`, `host` (a socket's
/// folder), `port`, `user`, `password`, `dbname`, `options` and `application_name` are understood.
/// It may hold a password, and so shows neither in `Debug` nor in `Display` more than its scheme.
#[derive(Clone)]
pub struct LedgerUrl(pub(crate) Place);

#[derive(Clone)]
pub(crate) enum Place {
    File(PathBuf),
    Memory,
    Postgres(Box<PgConnectOptions>),
}

/// Those of which the password is not one that sqlx would write to the log when mistyped.
const PARAMETERS: [&str; 12] = [
    "application_name",
    "dbname",
    "host",
    "hostaddr",
    "options",
    "password",
    "port",
    "sslcert",
    "sslkey",
    "sslmode",
    "sslrootcert",
    "user",
];

impl LedgerUrl {
    /// Reads a URL.
    ///
    /// # Errors
    ///
    /// [`LedgerError::BadUrl`], which does not repeat the URL.
    pub fn parse(url: &str) -> Result<Self, LedgerError> {
        let (scheme, rest) = url
            .split_once(':')
            .ok_or(LedgerError::BadUrl("it has no scheme"))?;
        match scheme {
            "sqlite" => sqlite(rest),
            "postgres" | "postgresql" => postgres(url),
            _ => Err(LedgerError::BadUrl(
                "its scheme is neither `sqlite` nor `postgres`",
            )),
        }
        .map(Self)
    }

    const fn scheme(&self) -> &'static str {
        match self.0 {
            Place::File(_) | Place::Memory => "sqlite",
            Place::Postgres(_) => "postgres",
        }
    }
}

fn sqlite(rest: &str) -> Result<Place, LedgerError> {
    match rest {
        ":memory:" => Ok(Place::Memory),
        "" | "//" => Err(LedgerError::BadUrl("it names no file")),
        path => {
            let path = path.strip_prefix("//").unwrap_or(path);
            if path.contains(['\0', '?', '#']) {
                return Err(LedgerError::BadUrl("its path has a NUL, `?` or `#`"));
            }
            Ok(Place::File(path.into()))
        }
    }
}

fn postgres(url: &str) -> Result<Place, LedgerError> {
    let query = url.split_once('?').map_or("", |(_, query)| query);
    let names: Vec<_> = form_urlencoded::parse(query.as_bytes())
        .map(|(name, _)| name)
        .collect();
    if names.iter().any(|name| !PARAMETERS.contains(&&**name)) {
        return Err(LedgerError::BadUrl("it has a parameter that is unknown"));
    }
    let options: PgConnectOptions = url
        .parse()
        .map_err(|_| LedgerError::BadUrl("it is no PostgreSQL URL"))?;
    let options = options.disable_statement_logging();
    if names.iter().any(|name| name == "sslmode") {
        return Ok(Place::Postgres(Box::new(options)));
    }
    // sqlx would take TLS when it is offered, and any certificate.
    let mode = if is_here(&options) {
        PgSslMode::Disable
    } else {
        PgSslMode::VerifyFull
    };
    Ok(Place::Postgres(Box::new(options.ssl_mode(mode))))
}

fn is_here(options: &PgConnectOptions) -> bool {
    let host = options.get_host();
    let address: Option<std::net::IpAddr> = host.trim_matches(['[', ']']).parse().ok();
    options.get_socket().is_some()
        || host.starts_with('/')
        || host == "localhost"
        || address.is_some_and(|address| address.is_loopback())
}

impl fmt::Debug for LedgerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LedgerUrl({}:[redacted])", self.scheme())
    }
}

/// The scheme alone.
impl fmt::Display for LedgerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.scheme())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ssl_mode(url: &str) -> String {
        match LedgerUrl::parse(url).expect("a URL").0 {
            Place::Postgres(options) => format!("{:?}", options.get_ssl_mode()),
            Place::File(_) | Place::Memory => "none".to_owned(),
        }
    }

    #[test]
    fn a_database_beyond_this_machine_must_show_its_certificate() {
        for (url, mode) in [
            ("postgres://u@db.example/p", "VerifyFull"),
            ("postgres://u@192.0.2.1/p", "VerifyFull"),
            ("postgres://u@localhost.example/p", "VerifyFull"),
            ("postgres://u@db.example/p?sslmode=require", "Require"),
            ("postgres://u@localhost/p", "Disable"),
            ("postgresql://u@127.0.0.1/p", "Disable"),
            ("postgres://u@[::1]/p", "Disable"),
            ("postgres:///p?host=/run/postgresql&user=u", "Disable"),
            ("postgres://u@localhost/p?host=db.example", "VerifyFull"),
            ("postgres://u@localhost/p?sslmode=verify-full", "VerifyFull"),
        ] {
            assert_eq!(ssl_mode(url), mode, "{url}");
        }
    }

    #[test]
    fn what_is_no_url_is_refused_without_being_repeated() {
        for url in [
            "",
            "ledger.db",
            "mysql://root:hunter2@db/x",
            "sqlite:",
            "sqlite://",
            "sqlite:a?mode=ro",
            "postgres://u:hunter2@h:port/d",
            "postgres://u:hunter2@h/d?passwrod=hunter2",
            "postgres://u:hunter2@h/d?sslmode=hunter2",
        ] {
            let error = LedgerUrl::parse(url).expect_err(url);
            assert!(matches!(error, LedgerError::BadUrl(_)), "{url}");
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{url}");
        }
    }

    #[test]
    fn a_password_shows_nowhere() {
        let url = LedgerUrl::parse("postgres://u:hunter2@h/d?password=hunter2").expect("a URL");
        assert!(!format!("{url} {url:?} {url:#?}").contains("hunter2"));
    }
}
