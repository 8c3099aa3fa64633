//! Where a bus is.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;

use async_nats::ServerAddr;
use percent_encoding::percent_decode_str;
use secrecy::SecretString;

use crate::bus::BusError;

/// Where a bus is, and how to enter.
///
/// | form | bus |
/// | --- | --- |
/// | `local:` | this process alone |
/// | `nats://USER:PASSWORD@HOST:PORT` | a NATS; also `nats://TOKEN@HOST`, and several with commas |
///
/// After a `?`: `credentials=FILE` names a `.creds` file, `ca=FILE` a file of certificates to trust
/// instead of the system's, and `tls=off` does without TLS where the server is not on this machine.
/// The first server that has them says user and password for all. `Debug` and `Display` show the
/// scheme alone.
#[derive(Clone)]
pub struct BusUrl(pub(crate) Place);

#[derive(Clone)]
pub(crate) enum Place {
    Local,
    Nats(Box<NatsPlace>),
}

#[derive(Clone)]
pub(crate) struct NatsPlace {
    pub(crate) servers: Vec<ServerAddr>,
    pub(crate) login: Login,
    pub(crate) authorities: Option<PathBuf>,
    pub(crate) needs_tls: bool,
}

#[derive(Clone)]
pub(crate) enum Login {
    Nothing,
    Token(SecretString),
    Password {
        user: String,
        password: SecretString,
    },
    File(PathBuf),
}

impl BusUrl {
    /// Reads a URL.
    ///
    /// # Errors
    ///
    /// [`BusError::BadUrl`], which does not repeat the URL.
    pub fn parse(url: &str) -> Result<Self, BusError> {
        if url == "local:" {
            return Ok(Self(Place::Local));
        }
        let (servers, query) = url.split_once('?').unwrap_or((url, ""));
        let mut place = NatsPlace {
            servers: Vec::new(),
            login: Login::Nothing,
            authorities: None,
            needs_tls: false,
        };
        for server in servers.split(',') {
            place.add(server)?;
        }
        let mut is_tls_off = false;
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            match (&*name, &*value) {
                ("credentials", file) => place.login = Login::File(file.into()),
                ("ca", file) => place.authorities = Some(file.into()),
                ("tls", "off") => is_tls_off = true,
                _ => return Err(BusError::BadUrl("it has a parameter that is unknown")),
            }
        }
        if is_tls_off {
            place.needs_tls = false;
        }
        Ok(Self(Place::Nats(Box::new(place))))
    }
}

impl NatsPlace {
    fn add(&mut self, server: &str) -> Result<(), BusError> {
        if !server.starts_with("nats://") {
            return Err(BusError::BadUrl("it is neither `local:` nor `nats://…`"));
        }
        let bad = || BusError::BadUrl("it is no NATS URL");
        let server: ServerAddr = server.parse().map_err(|_| bad())?;
        if server.host().is_empty() {
            return Err(BusError::BadUrl("it names no host"));
        }
        let decode = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
        if let (Login::Nothing, Some(user)) = (&self.login, server.username()) {
            self.login = match server.password() {
                Some(password) => Login::Password {
                    user: decode(user),
                    password: decode(password).into(),
                },
                None => Login::Token(decode(user).into()),
            };
        }
        let address: Option<IpAddr> = server.host().parse().ok();
        let is_here =
            server.host() == "localhost" || address.is_some_and(|address| address.is_loopback());
        self.needs_tls |= !is_here;
        // Without what is secret, since this is what the client writes to the log.
        let mut url = server.into_inner();
        url.set_username("").map_err(|()| bad())?;
        url.set_password(None).map_err(|()| bad())?;
        self.servers
            .push(ServerAddr::from_url(url).map_err(|_| bad())?);
        Ok(())
    }
}

impl fmt::Debug for BusUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BusUrl({self}:[redacted])")
    }
}

/// The scheme alone.
impl fmt::Display for BusUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Place::Local => "local",
            Place::Nats(_) => "nats",
        })
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    fn nats(url: &str) -> NatsPlace {
        match BusUrl::parse(url).expect("a URL").0 {
            Place::Nats(place) => *place,
            Place::Local => panic!("a NATS"),
        }
    }

    #[test]
    fn a_server_beyond_this_machine_is_asked_for_tls() {
        for (url, needs_tls) in [
            ("nats://localhost", false),
            ("nats://127.0.0.1:4222", false),
            ("nats://[::1]:4222", false),
            ("nats://bus.example", true),
            ("nats://localhost,nats://bus.example", true),
            ("nats://bus.example?tls=off", false),
        ] {
            assert_eq!(nats(url).needs_tls, needs_tls, "{url}");
        }
    }

    #[test]
    fn who_enters_is_read_and_not_left_in_the_address() {
        let place = nats("nats://us%40er:hun%2Fter2@localhost:1,nats://localhost:2");
        let Login::Password { user, password } = &place.login else {
            panic!("a password")
        };
        assert_eq!((&**user, password.expose_secret()), ("us@er", "hun/ter2"));
        assert_eq!(place.servers.len(), 2);
        assert!(!format!("{:?}", place.servers).contains("hun"));
        assert!(matches!(nats("nats://t@localhost").login, Login::Token(_)));
        let file = nats("nats://localhost?credentials=/etc/gate.creds").login;
        assert!(matches!(file, Login::File(_)));
    }

    #[test]
    fn what_is_no_url_is_refused_without_being_repeated() {
        for url in [
            "",
            "local",
            "local:x",
            "ws://hunter2@bus.example",
            "nats://u:hunter2@",
            "nats://u:hunter2@h:port",
            "nats://u:hunter2@h?password=hunter2",
            "nats://u:hunter2@h?tls=hunter2",
            "nats://h,hunter2",
        ] {
            let error = BusUrl::parse(url).expect_err(url);
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{url}");
        }
        let url = BusUrl::parse("nats://u:hunter2@localhost").expect("a URL");
        assert!(!format!("{url} {url:?}").contains("hunter2"));
    }
}
