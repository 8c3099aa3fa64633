//! People who have to log in are sent to where they can.

use bytes::Bytes;
use http::header::{CACHE_CONTROL, HeaderValue, LOCATION};
use http::{Response, StatusCode};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use portcullis_boundary::carrier::CarrierKind;
use portcullis_boundary::{Arrival, Refusal, RefusalKind};

use crate::config::Route;

/// The way to the login of a route, for a person whom it refuses for want of one; none for everybody
/// else, and for every other refusal. Who was logged out by others is not sent there again and again.
///
/// A person who follows a link from another site is sent there too: the cookie does not count then,
/// and coming back from the login it does.
pub(super) fn way_in(
    route: &Route,
    arrival: &Arrival,
    refusal: &Refusal,
) -> Option<Response<Bytes>> {
    let login = route.login.as_deref()?;
    let kind = refusal.kind();
    let wants_login = matches!(
        kind,
        RefusalKind::MissingCredential
            | RefusalKind::MalformedCredential
            | RefusalKind::InvalidCredential
            | RefusalKind::Expired
    );
    let follows_a_link = kind == RefusalKind::OriginForbidden && arrival.is_caused_elsewhere();
    let helps = wants_login || follows_a_link;
    if !helps || !arrival.is_page_visit() {
        return None;
    }
    let policy = &route.policy;
    let query = arrival.query().filter(|_| {
        // A credential in it would be written down.
        !policy.reads(CarrierKind::Query) && !policy.reads(CarrierKind::Ticket)
    });
    let mut wanted = arrival.path().to_owned();
    if let Some(query) = query {
        wanted.push('?');
        wanted.push_str(query);
    }
    let wanted = utf8_percent_encode(&wanted, NOT_IN_A_VALUE);
    let location = HeaderValue::try_from(format!("{login}?return={wanted}")).ok()?;
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = StatusCode::SEE_OTHER;
    let headers = response.headers_mut();
    headers.insert(LOCATION, location);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Some(response)
}

/// What would mean something else in a query's value.
const NOT_IN_A_VALUE: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'/')
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');
