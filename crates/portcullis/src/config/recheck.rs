//! `recheck` and `recheck_silence` of a route's sessions.

use std::sync::Arc;
use std::time::Duration;

use portcullis_boundary::DynAuthority;
use portcullis_boundary::carrier::CarrierKind;
use portcullis_boundary::policy::Auth;

use super::builder::Builder;
use super::file;
use super::problem::Problem;

/// How often those are asked again who can only be asked, where nothing else is written.
const EVERY: Duration = Duration::from_secs(60);

/// How long an answer takes at most, where no other `timeout` is written.
const ANSWER: Duration = Duration::from_secs(2);

/// How often, and how long a silence is borne.
pub(super) struct Recheck {
    pub(super) every: Option<Duration>,
    pub(super) silence: Option<Duration>,
}

/// What a route says of it. Nothing is asked again where nobody can only be asked.
pub(super) fn build(
    builder: &mut Builder,
    route: &file::Route,
    auth: Option<&Auth>,
    authority: Option<&Arc<dyn DynAuthority>>,
) -> Recheck {
    let session = &route.session;
    let is_off = session
        .recheck
        .as_ref()
        .is_some_and(|every| every.value == "off");
    let written = session.recheck.as_ref().filter(|_| !is_off);
    let every = builder.some_time(written);
    let silence = builder.some_time(session.recheck_silence.as_ref());
    if let (Some(place), true) = (&session.recheck_silence, is_off) {
        let mend = "remove `recheck_silence`, or `recheck = \"off\"`";
        builder.report(Problem::new("nobody is asked, so all are silent", mend).at(&place.span));
    }
    let verifier_is_polled = auth.is_some_and(is_polled);
    // Rule 7 is not asked where nobody is asked who it is.
    let authority = authority.filter(|_| auth.is_some_and(Auth::asks_who_it_is));
    let is_polled = verifier_is_polled || authority.is_some_and(|authority| authority.is_polled());
    // Of a route with problems, and of one with its authentication off, nobody knows.
    let is_known = matches!(
        auth,
        Some(Auth::Public | Auth::Upstream | Auth::Required { .. })
    );
    if let (Some(place), false, true) = (
        written.or(session.recheck_silence.as_ref()),
        is_polled,
        is_known,
    ) {
        let what = "nobody is asked about the sessions of this route";
        let mend = "remove this: only introspection, call-outs and the accounts of Firebase are asked again";
        builder.report(Problem::new(what, mend).at(&place.span));
    }
    let every = Some(every.unwrap_or(EVERY)).filter(|_| is_polled && !is_off);
    if let (Some(place), Some(silence), Some(every)) = (&session.recheck_silence, silence, every)
        && silence < every + ANSWER
    {
        let least = (every + ANSWER).as_secs_f64().ceil();
        let mend = format!("write \"{least}s\" or more: `recheck`, and two seconds for the answer");
        let what = "a session would end before its question was answered";
        builder.report(Problem::new(what, mend).at(&place.span));
    }
    if verifier_is_polled && every.is_some() && silence.is_none() && reads_tickets(auth) {
        let path = &route.path.value;
        builder.warnings.push(format!(
            "nobody can be asked again about sessions at {path} that a ticket opened, until they are renewed; `recheck_silence` bounds how long they live so"
        ));
    }
    Recheck { every, silence }
}

fn is_polled(auth: &Auth) -> bool {
    match auth {
        Auth::Off | Auth::Public | Auth::Upstream => false,
        Auth::Required { verifiers, .. } => verifiers.iter().any(|verifier| verifier.is_polled()),
    }
}

fn reads_tickets(auth: Option<&Auth>) -> bool {
    match auth {
        Some(Auth::Required { carriers, .. }) => carriers
            .iter()
            .any(|carrier| carrier.kind() == CarrierKind::Ticket),
        Some(Auth::Off | Auth::Public | Auth::Upstream) | None => false,
    }
}
