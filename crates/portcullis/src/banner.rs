//! What is said when the gate is open, in the shape that the app-server's clients and wrappers read.

use std::fmt::Write as _;

/// One listener, as the banner names it.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// Whether it speaks TLS.
    pub(crate) encrypted: bool,
    /// The bound address: `127.0.0.1:7700`, or the path of a socket.
    pub(crate) address: String,
    /// Whether it is a unix socket.
    pub(crate) is_unix: bool,
    /// Whether `/readyz` and `/healthz` are answered there.
    pub(crate) health_routes: bool,
    /// Whether only this machine can reach it.
    pub(crate) is_local: bool,
}

/// The banner.
pub(crate) fn banner(places: &[Place], admin: Option<&str>, warnings: &[String]) -> String {
    let mut text = String::from("portcullis (WebSockets)\n");
    let mut line = |what: &str, value: &str| {
        writeln!(text, "  {what}: {value}").expect("a string takes whatever is written");
    };
    for place in places {
        let scheme = match (place.is_unix, place.encrypted) {
            (true, _) => "unix",
            (false, true) => "wss",
            (false, false) => "ws",
        };
        let address = &place.address;
        line("listening on", &format!("{scheme}://{address}"));
        if place.health_routes && !place.is_unix {
            let http = if place.encrypted { "https" } else { "http" };
            line("readyz", &format!("{http}://{address}/readyz"));
            line("healthz", &format!("{http}://{address}/healthz"));
        }
    }
    if let Some(address) = admin {
        line("admin", &format!("http://{address}"));
    }
    if places.iter().all(|place| place.is_local) {
        line(
            "note",
            "binds localhost only (use SSH port-forwarding for remote access)",
        );
    }
    for warning in warnings {
        line("warning", warning);
    }
    text
}

/// What the first run says besides: the token, three things to paste, and what SDKs want to know.
pub(crate) fn welcome(place: &Place, token: &str, file: &str) -> String {
    let (http, ws) = if place.encrypted {
        ("https", "wss")
    } else {
        ("http", "ws")
    };
    let address = &place.address;
    format!(
        "  token: {token}\n  \
           kept in: {file}\n\
         \n\
         Ask the gate, with curl:\n  \
           curl -H 'Authorization: Bearer {token}' '{http}://{address}/.portcullis/check?route=/echo'\n\
         Talk to the echo, from the command line:\n  \
           npx -y wscat -H 'Authorization: Bearer {token}' -c {ws}://{address}/echo\n\
         See each refusal, in a browser:\n  \
           {http}://{address}/#token={token}\n\
         Have turns with a mock of a model, by any SDK of the Responses API:\n  \
           OPENAI_BASE_URL={http}://{address}/v1 OPENAI_API_KEY={token}\n\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(address: &str) -> Place {
        Place {
            encrypted: false,
            address: address.to_owned(),
            is_unix: false,
            health_routes: true,
            is_local: true,
        }
    }

    #[test]
    fn the_banner_has_the_shape_of_the_app_servers() {
        let text = banner(&[place("127.0.0.1:36613")], None, &[]);
        assert_eq!(
            text,
            "portcullis (WebSockets)\n  \
               listening on: ws://127.0.0.1:36613\n  \
               readyz: http://127.0.0.1:36613/readyz\n  \
               healthz: http://127.0.0.1:36613/healthz\n  \
               note: binds localhost only (use SSH port-forwarding for remote access)\n"
        );
    }

    #[test]
    fn each_listener_the_admin_and_warnings_have_a_line() {
        let socket = Place {
            is_unix: true,
            ..place("/run/gate.sock")
        };
        let remote = Place {
            encrypted: true,
            health_routes: false,
            is_local: false,
            ..place("10.0.0.1:443")
        };
        let text = banner(&[socket, remote], Some("127.0.0.1:1"), &["mind".to_owned()]);
        assert_eq!(
            text,
            "portcullis (WebSockets)\n  \
               listening on: unix:///run/gate.sock\n  \
               listening on: wss://10.0.0.1:443\n  \
               admin: http://127.0.0.1:1\n  \
               warning: mind\n"
        );
    }
}
