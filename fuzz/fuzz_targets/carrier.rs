//! Bytes as a request's head: no carrier panics over them, and none leaves a credential behind.
//!
//! The first line is the target; each line after it is a header, `name: value`.

#![no_main]

use http::request::Parts;
use http::{HeaderName, HeaderValue, Request, Uri};
use libfuzzer_sys::fuzz_target;
use portcullis_boundary::carrier::{Carrier, Carriers, first_message};
use portcullis_boundary::policy::{Auth, OriginRule};
use portcullis_boundary::{Arrival, Peer, Policy, RefusalKind};

const NAMES: [&str; 4] = ["header", "subprotocol", "cookie:sid", "query"];

fuzz_target!(|bytes: &[u8]| {
    if let Ok(text) = std::str::from_utf8(bytes)
        && let Ok(credential) = first_message::read(text)
    {
        let again = first_message::read(&first_message::write(&credential)).expect("our own");
        assert_eq!(again.expose(), credential.expose());
    }
    let Some(head) = head(bytes) else {
        return;
    };
    let all = Carriers::new(NAMES.map(carrier));
    let found = all.extract(&head);
    for name in NAMES {
        let carrier = carrier(name);
        let mut stripped = head.clone();
        carrier.strip(&mut stripped);
        let left = carrier
            .extract(&stripped)
            .expect("nothing malformed is left");
        assert!(left.is_none(), "{name} is left");
        if let Ok(Some(credential)) = carrier.extract(&head)
            && carrier.attach(&credential, &mut stripped).is_ok()
        {
            // A subprotocol counts only beside another that can be selected.
            if let Ok(again) = carrier.extract(&stripped) {
                let again = again.expect("attached");
                assert_eq!(again.expose(), credential.expose());
            }
        }
    }
    let mut stripped = head.clone();
    all.strip(&mut stripped);
    assert!(matches!(all.extract(&stripped), Ok(None)));
    look(Arrival::new(head, Peer::local()));
    drop(found);
});

/// Nothing that an arrival is asked makes it panic.
fn look(arrival: Arrival) {
    let _ = (arrival.host(), arrival.origin(), arrival.handshake_key());
    let selectable = arrival.selectable_subprotocol();
    assert!(selectable.is_none_or(|protocol| !protocol.starts_with("portcullis.bearer.")));
    let _ = arrival.check_handshake();
    for rule in [OriginRule::None, OriginRule::SameHost, OriginRule::Any] {
        let policy = Policy::new("r", Auth::Off).with_origin(rule);
        let _ = policy.delivery(&arrival, RefusalKind::Expired);
        let _ = policy.check_page(&arrival, &portcullis_boundary::policy::HostRule::Loopback);
    }
}

fn head(bytes: &[u8]) -> Option<Parts> {
    let mut lines = bytes.split(|byte| *byte == b'\n');
    let target = Uri::try_from(lines.next()?).ok()?;
    let (mut head, ()) = Request::new(()).into_parts();
    head.uri = target;
    for line in lines {
        let colon = line.iter().position(|byte| *byte == b':')?;
        let (name, value) = line.split_at(colon);
        let name = HeaderName::from_bytes(name).ok()?;
        let value = HeaderValue::from_bytes(value[1..].trim_ascii()).ok()?;
        head.headers.try_append(name, value).ok()?;
    }
    Some(head)
}

fn carrier(name: &str) -> Carrier {
    name.parse().expect("a carrier")
}
