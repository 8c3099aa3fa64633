//! What would be decided about an arrival, and why.
//!
//! It walks the same decision as the gate, question by question, with an empty gate's limits, and
//! notes how far it came. The credential is checked and never shown.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::sync::Arc;

use http::request::Parts;
use portcullis_boundary::carrier::CarrierKind;
use portcullis_boundary::clock::{Clock, SystemClock};
use portcullis_boundary::decision::Decision;
use portcullis_boundary::denial::status;
use portcullis_boundary::limits::Limiter;
use portcullis_boundary::policy::{Auth, Delivery, HostRule};
use portcullis_boundary::{Arrival, Credential, Peer, Policy, Refusal, RefusalKind, Rule};
use portcullis_gateway::config::{GateConfig, Route};
use portcullis_gateway::find_route;
use serde_json::{Value, json};

/// What is asked.
pub(crate) struct Question {
    /// The request.
    pub(crate) head: Parts,
    /// Where it comes from.
    pub(crate) peer: IpAddr,
    /// The hosts that the listener serves.
    pub(crate) hosts: Arc<HostRule>,
    /// What the first message would hold.
    pub(crate) first_message: Option<String>,
}

/// What would be decided.
#[derive(Debug)]
pub(crate) struct Answer {
    protocol: &'static str,
    path: String,
    route: Option<(String, String)>,
    switched_off: Option<&'static str>,
    verifier: Option<String>,
    carrier: Option<CarrierKind>,
    subject: Option<String>,
    outcome: Outcome,
}

#[derive(Debug)]
enum Outcome {
    Admitted,
    AwaitsFirstMessage,
    Refused {
        refusal: Refusal,
        status: u16,
        delivery: Delivery,
        close: Option<u16>,
    },
}

/// Decides about the question. Must be polled on the runtime on which verifiers ask others.
pub(crate) async fn answer(config: &GateConfig, question: Question) -> Answer {
    let arrival = Arrival::new(question.head, Peer::at(question.peer));
    let path = arrival.path().to_owned();
    let mut answer = Answer {
        protocol: arrival.protocol().as_str(),
        route: None,
        switched_off: None,
        verifier: None,
        carrier: None,
        subject: None,
        outcome: Outcome::Admitted,
        path,
    };
    let Some(route) = find_route(&config.routes, &answer.path) else {
        let policy = Policy::new("none", Auth::Public);
        let refusal = question.hosts.check(&arrival).err().unwrap_or_else(|| {
            Refusal::new(RefusalKind::ResourceUnknown).because("no route has this path")
        });
        answer.outcome = refused(refusal, &policy, &arrival);
        return answer;
    };
    let policy = &route.policy;
    answer.route = Some((policy.name().to_string(), route.pattern.to_string()));
    answer.switched_off = match policy.auth() {
        Auth::Off => Some("authentication is off"),
        Auth::Public => Some("the route is public"),
        Auth::Upstream => Some("the upstream decides"),
        Auth::Required { .. } => None,
    };
    walk(
        &mut answer,
        config,
        &route,
        &arrival,
        &question.hosts,
        question.first_message,
    )
    .await;
    answer
}

/// Asks each question of the decision, and notes what is answered.
async fn walk(
    answer: &mut Answer,
    config: &GateConfig,
    route: &Route,
    arrival: &Arrival,
    hosts: &HostRule,
    mut first_message: Option<String>,
) {
    let policy = &*route.policy;
    let limiter = Limiter::new(config.limits.clone());
    let mut decision = policy.decide(arrival, hosts, SystemClock::new().now());
    loop {
        decision = match decision {
            Decision::Admitted(pass) => {
                answer.subject = Some(pass.identity().subject().to_owned());
                answer.carrier = pass.carrier();
                return;
            }
            Decision::Refused(why) => {
                answer.carrier = why.carrier;
                answer.subject = why.identity.map(|identity| identity.subject().to_owned());
                answer.outcome = refused(why.refusal, policy, arrival);
                return;
            }
            Decision::FirstMessage => {
                let Some(secret) = first_message.take() else {
                    answer.outcome = Outcome::AwaitsFirstMessage;
                    return;
                };
                let credential = Credential::new(secret, CarrierKind::FirstMessage);
                let now = SystemClock::new().now();
                policy.decide_first_message(arrival, hosts, credential, now)
            }
            Decision::Throttle(question) => question.ask(&limiter),
            Decision::Pace(question) => question.answer(Ok(())),
            Decision::Verify(question) => {
                answer.verifier = Some(question.verifier().to_owned());
                question.ask().await
            }
            Decision::Standing(question) => question.answer(Ok(())),
            Decision::Authorise(question) => {
                let answer = match &route.authority {
                    Some(authority) => authority.authorise(question.identity(), arrival).await,
                    None => Ok(()),
                };
                question.answer(answer)
            }
            Decision::Reserve(question) => question.ask(&limiter),
            Decision::Share(question) => question.answer(Ok(None)),
        };
    }
}

fn refused(refusal: Refusal, policy: &Policy, arrival: &Arrival) -> Outcome {
    let kind = refusal.kind();
    Outcome::Refused {
        status: status(&refusal, policy).as_u16(),
        delivery: policy.delivery(arrival, kind),
        close: policy.codes().code(kind).map(|code| code.get()),
        refusal,
    }
}

/// How one rule went.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Step {
    Passed,
    Failed,
    NotReached,
    NotAsked,
}

impl Step {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Passed => "pass",
            Self::Failed => "fail",
            Self::NotReached => "not reached",
            Self::NotAsked => "not asked",
        }
    }
}

impl Answer {
    /// Whether the arrival would enter, as far as the handshake goes.
    pub(crate) const fn is_admitted(&self) -> bool {
        match self.outcome {
            Outcome::Admitted | Outcome::AwaitsFirstMessage => true,
            Outcome::Refused { .. } => false,
        }
    }

    /// For programs.
    pub(crate) fn to_json(&self) -> Value {
        let rules: Vec<Value> = self
            .steps()
            .map(|(rule, step)| json!({ "rule": rule as u8, "name": rule.as_str(), "outcome": step.as_str() }))
            .collect();
        let mut answer = json!({
            "admitted": self.is_admitted(),
            "protocol": self.protocol,
            "path": self.path,
            "route": self.route.as_ref().map(|(name, _)| name),
            "pattern": self.route.as_ref().map(|(_, pattern)| pattern),
            "subject": self.subject,
            "carrier": self.carrier.map(CarrierKind::as_str),
            "verifier": self.verifier,
            "rules": rules,
        });
        if let (
            Some(fields),
            Outcome::Refused {
                refusal,
                status,
                delivery,
                close,
            },
        ) = (answer.as_object_mut(), &self.outcome)
        {
            let kind = refusal.kind();
            let more = json!({
                "code": kind,
                "rule": refusal.rule().map(|rule| rule as u8),
                "detail": refusal.detail().to_string(),
                "status": status,
                "close_code": close,
                "recovery": kind.row().recovery,
                "delivery": match delivery { Delivery::Denial => "http", Delivery::Close(_) => "close" },
            });
            fields.extend(more.as_object().cloned().unwrap_or_default());
        } else if let (Some(fields), Outcome::AwaitsFirstMessage) =
            (answer.as_object_mut(), &self.outcome)
        {
            fields.insert("awaits".to_owned(), "first-message".into());
        }
        answer
    }

    fn steps(&self) -> impl Iterator<Item = (Rule, Step)> {
        let failed = match &self.outcome {
            Outcome::Admitted => None,
            Outcome::AwaitsFirstMessage => Some(Rule::Credential),
            Outcome::Refused { refusal, .. } => refusal.rule(),
        };
        let is_unruled = self.route.is_none();
        Rule::ALL.into_iter().map(move |rule| {
            let is_about_identity = rule >= Rule::Credential && rule < Rule::Limits;
            let step = match failed {
                // Rule 1 is the listener's; the others are those of a route.
                _ if is_unruled && rule > Rule::Host => Step::NotReached,
                Some(failed) if rule > failed => Step::NotReached,
                Some(failed) if rule == failed => match self.outcome {
                    Outcome::AwaitsFirstMessage => Step::NotReached,
                    Outcome::Admitted | Outcome::Refused { .. } => Step::Failed,
                },
                _ if is_about_identity && self.switched_off.is_some() => Step::NotAsked,
                Some(_) | None => Step::Passed,
            };
            (rule, step)
        })
    }
}

/// For people.
pub(crate) fn render(answer: &Answer) -> String {
    let mut text = String::new();
    let mut line = |label: &str, value: &str| {
        writeln!(text, "{label:<12}{value}").expect("a string takes whatever is written");
    };
    line("arrival", &format!("{} {}", answer.protocol, answer.path));
    match &answer.route {
        Some((name, pattern)) => line("route", &format!("{name} at {pattern}")),
        None => line("route", "none"),
    }
    for (rule, step) in answer.steps() {
        let why = match (step, answer.switched_off) {
            (Step::NotAsked, Some(why)) => format!(": {why}"),
            _ => String::new(),
        };
        line(
            &format!("  rule {}", rule as u8),
            &format!("{:<15}{}{why}", rule.as_str(), step.as_str()),
        );
    }
    if let Some(carrier) = answer.carrier {
        line("carrier", carrier.as_str());
    }
    if let Some(verifier) = &answer.verifier {
        line("verifier", verifier);
    }
    if let Some(subject) = &answer.subject {
        line("subject", subject);
    }
    match &answer.outcome {
        Outcome::Admitted => line("decision", "admitted"),
        Outcome::AwaitsFirstMessage => line(
            "decision",
            "accepted, and decided by the first message (--first-message)",
        ),
        Outcome::Refused {
            refusal,
            status,
            delivery,
            close,
        } => {
            let kind = refusal.kind();
            line("decision", &format!("refused: {kind}"));
            let detail = refusal.detail().to_string();
            if !detail.is_empty() {
                line("detail", &detail);
            }
            let close = close.map_or_else(|| "none".to_owned(), |code| code.to_string());
            line("status", &status.to_string());
            line("close code", &close);
            line("recovery", kind.row().recovery.as_str());
            line(
                "delivery",
                match delivery {
                    Delivery::Denial => "an HTTP response",
                    Delivery::Close(_) => "accepted, then closed",
                },
            );
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use http::Request;
    use portcullis_boundary::limits::Limits;
    use portcullis_boundary::session::Terms;
    use portcullis_gateway::config::{Builtin, Pattern, Room, Target, Timeouts, Upstream};

    use super::*;

    async fn decided(path: &str, host: &str) -> Value {
        let route = |path: &str| Route {
            pattern: Pattern::parse(path).expect("a pattern"),
            policy: Arc::new(Policy::new(path, Auth::Public)),
            terms: Arc::new(Terms::default()),
            authority: None,
            login: None,
            upstream: Upstream::new(Target::Builtin(Builtin::Echo)),
        };
        let config = GateConfig {
            routes: vec![route("/public/*"), route("/admin")],
            limits: Limits::default(),
            room: Room::default(),
            timeouts: Timeouts::default(),
            warnings: Vec::new(),
        };
        let request = Request::get(path).header("host", host).body(());
        let question = Question {
            head: request.expect("a request").into_parts().0,
            peer: [127, 0, 0, 1].into(),
            hosts: Arc::new(HostRule::Loopback),
            first_message: None,
        };
        answer(&config, question).await.to_json()
    }

    #[tokio::test]
    async fn a_path_has_the_route_that_the_gate_gives_it() {
        assert_eq!(
            decided("/public/x", "localhost").await["route"],
            "/public/*"
        );
        for path in ["/public/../admin", "//admin", "/%61dmin", "/nowhere"] {
            let answer = decided(path, "localhost").await;
            assert_eq!(answer["code"], "resource_unknown", "{path}");
            assert_eq!(answer["rules"][0]["outcome"], "pass", "{path}");
            assert_eq!(answer["rules"][1]["outcome"], "not reached", "{path}");
        }
    }

    #[tokio::test]
    async fn where_no_route_is_the_host_counts_all_the_same() {
        let answer = decided("/nowhere", "rebound.example").await;
        assert_eq!(answer["code"], "host_forbidden");
        assert_eq!(answer["rules"][0]["outcome"], "fail");
    }
}
