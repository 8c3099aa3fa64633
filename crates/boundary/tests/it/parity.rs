//! The same arrival over HTTP and over WebSocket gets the same answer.
//!
//! The whole matrix is walked: credential × carrier × origin × rule × authentication on and off.
//! Beside parity each answer is compared with what the documents say, so that two equal mistakes
//! are noticed.

use std::sync::Arc;

use portcullis_boundary::carrier::{Carrier, Carriers, CookieName, Dialect};
use portcullis_boundary::policy::{Auth, Origin, OriginRule};
use portcullis_boundary::{Boundary, Identity, Policy, RefusalKind, Scopes, Verdict};
use portcullis_testing::arrivals::{self, ArrivalBuilder, FOREIGN_ORIGIN, OWN_ORIGIN};
use portcullis_testing::{TestAuthority, TokenVerifier, at_once};
use proptest::prelude::*;
use proptest::sample::select;

#[test]
fn http_and_websocket_get_the_same_answer_over_the_whole_matrix() {
    let mut cases = 0;
    for auth in [true, false] {
        for rule in RULES {
            let boundary = boundary(auth, rule);
            for credential in CREDENTIALS {
                for place in PLACES {
                    for page in PAGES {
                        let case = (auth, rule, credential, place, page);
                        let [http, websocket] = ask_both(&boundary, credential, place, page);
                        assert_eq!(http, websocket, "{case:?}");
                        let expected = expected(auth, rule, credential, place, page);
                        assert_eq!(http, expected, "{case:?}");
                        cases += 1;
                    }
                }
            }
        }
    }
    assert_eq!(cases, 2 * 4 * 13 * 7 * 6);
}

#[test]
fn a_browsers_word_helps_a_plain_request_with_a_cookie_and_no_origin_alone() {
    for rule in RULES {
        let boundary = boundary(true, rule);
        for credential in CREDENTIALS {
            for place in PLACES {
                let arrange = |arrival: ArrivalBuilder| {
                    credential.put(arrival.line("sec-fetch-site", "same-origin"), place)
                };
                let http = ask(&boundary, arrange(arrivals::plain()));
                let websocket = ask(&boundary, arrange(arrivals::handshake()));
                if place == Place::Cookie && websocket == Some(RefusalKind::OriginForbidden) {
                    assert_eq!(http, credential.refusal());
                } else {
                    assert_eq!(http, websocket, "{credential:?} {place:?}");
                }
            }
        }
    }
}

proptest! {
    /// Credentials in several carriers at once, beside lines of which nobody knows what they mean.
    #[test]
    fn http_and_websocket_get_the_same_answer_to_whatever_comes(
        auth: bool,
        rule in select(RULES.to_vec()),
        carried in proptest::collection::vec(
            (select(CREDENTIALS.to_vec()), select(PLACES.to_vec())), 0..4),
        page in select(PAGES.to_vec()),
        junk in proptest::collection::vec((select(JUNK.to_vec()), "[ -~\\u{80}-\\u{ff}]{0,40}"), 0..4),
    ) {
        let boundary = boundary(auth, rule);
        let arrange = |mut arrival: ArrivalBuilder| {
            for (credential, place) in &carried {
                arrival = credential.put(arrival, *place);
            }
            for (name, value) in &junk {
                arrival = arrival.line(name, value.trim());
            }
            page.of(arrival)
        };
        let http = ask(&boundary, arrange(arrivals::plain()));
        let websocket = ask(&boundary, arrange(arrivals::handshake()));
        prop_assert_eq!(http, websocket);
    }
}

/// Headers that have a meaning for the decision, and some that have none.
const JUNK: [&str; 7] = [
    "accept",
    "authorization",
    "cookie",
    "origin",
    "sec-websocket-protocol",
    "host",
    "x-forwarded-for",
];

const RULES: [Rule; 4] = [Rule::None, Rule::SameHost, Rule::Listed, Rule::Any];

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Rule {
    None,
    SameHost,
    Listed,
    Any,
}

const CREDENTIALS: [Held; 13] = [
    Held::Nothing,
    Held::Malformed,
    Held::Token("good"),
    Held::Token("wrong"),
    Held::Token("expired"),
    Held::Token("not-yet-valid"),
    Held::Token("key-unknown"),
    Held::Token("unavailable"),
    Held::Token("revoked"),
    Held::Token("revoked-token"),
    Held::Token("disabled-account"),
    Held::Token("disabled"),
    Held::Token("lacking"),
];

/// What a carrier holds.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Held {
    Nothing,
    Malformed,
    Token(&'static str),
}

const PLACES: [Place; 7] = [
    Place::Header,
    Place::Cookie,
    Place::Subprotocol(Dialect::Kubernetes),
    Place::Subprotocol(Dialect::Phoenix),
    Place::Subprotocol(Dialect::Portcullis),
    Place::Subprotocol(Dialect::OpenAi),
    Place::Query,
];

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Place {
    Header,
    Cookie,
    Subprotocol(Dialect),
    Query,
}

const PAGES: [Page; 6] = [
    Page::Absent,
    Page::Own,
    Page::Listed,
    Page::Foreign,
    Page::Null,
    Page::Doubled,
];

/// The page that an arrival comes from.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Page {
    Absent,
    Own,
    Listed,
    Foreign,
    Null,
    Doubled,
}

const LISTED_ORIGIN: &str = "https://app.example";

fn ask_both(
    boundary: &Boundary,
    credential: Held,
    place: Place,
    page: Page,
) -> [Option<RefusalKind>; 2] {
    [arrivals::plain(), arrivals::handshake()]
        .map(|arrival| ask(boundary, page.of(credential.put(arrival, place))))
}

/// The kind of the refusal; none for who enters.
fn ask(boundary: &Boundary, arrival: ArrivalBuilder) -> Option<RefusalKind> {
    match at_once(boundary.admit(&arrival.build())) {
        Verdict::Admit(_) => None,
        Verdict::Refuse(refused) => Some(refused.refusal.kind()),
        Verdict::AwaitFirstMessage => panic!("no first message is expected"),
    }
}

fn boundary(auth: bool, rule: Rule) -> Boundary {
    let scopes = || Scopes::parse("chat");
    let known = |subject: &'static str| Ok(Identity::new(subject).with_scopes(scopes()));
    let verifier = TokenVerifier::of_each_kind()
        .knows("good", known("ada"))
        .knows("revoked", known("rex"))
        .knows("disabled", known("dee"))
        .admits("lacking", "lou");
    let carriers = [
        Carrier::Header,
        Carrier::Subprotocol,
        Carrier::Cookie(CookieName::new("sid").expect("a name")),
        Carrier::Query,
    ];
    let required = Auth::Required {
        verifiers: vec![Arc::new(verifier)],
        carriers: Carriers::new(carriers),
    };
    let authority = TestAuthority::new();
    authority.revoke("rex");
    authority.disable("dee");
    let policy = Policy::new("r", if auth { required } else { Auth::Off })
        .with_scopes(scopes())
        .with_origin(rule.rule());
    Boundary::new(policy).with_authority(Arc::new(authority))
}

/// What the documents say.
fn expected(
    auth: bool,
    rule: Rule,
    credential: Held,
    place: Place,
    page: Page,
) -> Option<RefusalKind> {
    if rule.refuses(page) {
        return Some(RefusalKind::OriginForbidden);
    }
    let is_read = credential != Held::Nothing && credential != Held::Malformed;
    if !auth {
        None
    } else if place == Place::Cookie && is_read && !rule.trusts(page) {
        Some(RefusalKind::OriginForbidden)
    } else {
        credential.refusal()
    }
}

impl Rule {
    fn rule(self) -> OriginRule {
        match self {
            Self::None => OriginRule::None,
            Self::SameHost => OriginRule::SameHost,
            Self::Listed => OriginRule::Listed {
                origins: Origin::parse(LISTED_ORIGIN).into_iter().collect(),
                same_host: false,
            },
            Self::Any => OriginRule::Any,
        }
    }

    fn refuses(self, page: Page) -> bool {
        match (self, page) {
            (_, Page::Doubled) => true,
            (_, Page::Absent) | (Self::Any, _) => false,
            (_, page) => !self.trusts(page),
        }
    }

    /// Whether a browser may send a cookie along.
    fn trusts(self, page: Page) -> bool {
        matches!(
            (self, page),
            (Self::SameHost | Self::Any, Page::Own) | (Self::Listed, Page::Listed)
        )
    }
}

impl Held {
    fn put(self, arrival: ArrivalBuilder, place: Place) -> ArrivalBuilder {
        match self {
            Self::Nothing => arrival,
            Self::Malformed => place.malform(arrival),
            Self::Token(token) => place.put(arrival, token),
        }
    }

    fn refusal(self) -> Option<RefusalKind> {
        Some(match self {
            Self::Nothing => RefusalKind::MissingCredential,
            Self::Malformed => RefusalKind::MalformedCredential,
            Self::Token("good") => return None,
            Self::Token("expired") => RefusalKind::Expired,
            Self::Token("not-yet-valid") => RefusalKind::NotYetValid,
            Self::Token("key-unknown") => RefusalKind::KeyUnknown,
            Self::Token("unavailable") => RefusalKind::KeysUnavailable,
            Self::Token("revoked" | "revoked-token") => RefusalKind::Revoked,
            Self::Token("disabled" | "disabled-account") => RefusalKind::AccountDisabled,
            Self::Token("lacking") => RefusalKind::InsufficientScope,
            Self::Token(_) => RefusalKind::InvalidCredential,
        })
    }
}

impl Place {
    fn put(self, arrival: ArrivalBuilder, token: &str) -> ArrivalBuilder {
        match self {
            Self::Header => arrival.bearer(token),
            Self::Cookie => arrival.cookie("sid", token),
            Self::Subprotocol(dialect) => arrival.subprotocol(dialect, token),
            Self::Query => arrival.target(&format!("/x?token={token}")),
        }
    }

    fn malform(self, arrival: ArrivalBuilder) -> ArrivalBuilder {
        match self {
            Self::Header => arrival.line("authorization", "Basic YTpi"),
            Self::Cookie => arrival.cookie("sid", "good; sid=good"),
            // Empty in every dialect.
            Self::Subprotocol(dialect) => {
                let offer = format!("chat, {}", dialect.prefix());
                arrival.line("sec-websocket-protocol", &offer)
            }
            Self::Query => arrival.target("/x?token=good&access_token=good"),
        }
    }
}

impl Page {
    fn of(self, arrival: ArrivalBuilder) -> ArrivalBuilder {
        match self {
            Self::Absent => arrival,
            Self::Own => arrival.origin(OWN_ORIGIN),
            Self::Listed => arrival.origin(LISTED_ORIGIN),
            Self::Foreign => arrival.origin(FOREIGN_ORIGIN),
            Self::Null => arrival.origin("null"),
            Self::Doubled => arrival.origin(OWN_ORIGIN).line("origin", OWN_ORIGIN),
        }
    }
}
