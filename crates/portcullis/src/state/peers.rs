//! What gates ask each other over the bus.

use std::time::Duration;

use bytes::Bytes;
use portcullis_boundary::clock::Timestamp;
use portcullis_boundary::{Identity, RefusalKind, SessionId};
use portcullis_gateway::{Gate, LiveFilter, NotRenewed};
use portcullis_ledger::bus::{MAX_PAYLOAD, Message, Notice, Topic};
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep, timeout_at};

use super::State;
use super::live::ShownSession;
use crate::secrets;

/// What one gate asks the others.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub(super) enum Question {
    /// For live sessions. Who has some tells them to the topic `answers`, in pieces.
    List {
        subject: Option<String>,
        route: Option<String>,
        after: Option<String>,
        limit: usize,
        answers: String,
        from: String,
    },
    /// For one session. Who has it answers with it.
    Show { id: String },
    /// To end a session. Who has it does so and answers.
    End { id: String },
    /// To rest a session on the fresh credential of `by`, which the asking gate has admitted at
    /// `route`. Who has the session answers.
    Renew {
        id: String,
        by: Box<Identity>,
        route: String,
    },
}

/// What came of a renewal.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
enum Renewed {
    /// When the credential expires, in milliseconds.
    Until(Option<i64>),
    OtherSubject,
    WiderScopes,
}

impl State {
    /// Answers what other gates ask about `gate`.
    pub(super) async fn answer(&self, gate: &Gate) {
        if !self.is_shared {
            return std::future::pending().await;
        }
        loop {
            let Ok(mut asked) = self.bus.subscribe(&topic()).await else {
                sleep(PATIENCE).await;
                continue;
            };
            while let Some(notice) = asked.next().await {
                // Who asked something that was dropped asks again.
                if let Notice::Message(message) = notice {
                    self.answer_one(gate, message).await;
                }
            }
        }
    }

    async fn answer_one(&self, gate: &Gate, message: Message) {
        let Ok(question) = serde_json::from_slice(&message.payload) else {
            tracing::warn!(target: "portcullis::bus", "a question is not understood");
            return;
        };
        let answer = match question {
            Question::List { from, .. } if from == self.name => return,
            Question::List {
                subject,
                route,
                after,
                limit,
                answers,
                ..
            } => {
                let filter = LiveFilter { subject, route };
                let after = after.and_then(|after| after.parse().ok());
                return self
                    .tell_sessions(gate, &filter, after, limit, &answers)
                    .await;
            }
            Question::Show { id } => id.parse().ok().and_then(|id| {
                let session = gate.live_session(id)?;
                serde_json::to_vec(&ShownSession::new(&self.name, &session)).ok()
            }),
            Question::End { id } => {
                let id: Option<SessionId> = id.parse().ok();
                let is_ended = id.is_some_and(|id| gate.end_session(id, RefusalKind::Revoked));
                is_ended.then(|| b"ended".to_vec())
            }
            Question::Renew { id, by, route } => id.parse().ok().and_then(|id| {
                let answer = match gate.renew_session(id, &by, &route) {
                    Ok(at) => Renewed::Until(at.map(Timestamp::as_millis)),
                    Err(NotRenewed::OtherSubject) => Renewed::OtherSubject,
                    Err(NotRenewed::WiderScopes) => Renewed::WiderScopes,
                    // Another may have it.
                    Err(NotRenewed::Unknown | NotRenewed::Unavailable) => return None,
                };
                serde_json::to_vec(&answer).ok()
            }),
        };
        if let Some(answer) = answer
            && let Err(error) = message.answer(answer.into()).await
        {
            tracing::warn!(target: "portcullis::bus", %error, "a question is not answered");
        }
    }

    async fn tell_sessions(
        &self,
        gate: &Gate,
        filter: &LiveFilter,
        after: Option<SessionId>,
        limit: usize,
        answers: &str,
    ) {
        let Ok(topic) = answers.parse::<Topic>() else {
            return;
        };
        let sessions = gate.live_sessions(filter, after, limit.min(MOST));
        let shown = sessions
            .iter()
            .map(|session| ShownSession::new(&self.name, session));
        for piece in pieces(shown) {
            if let Err(error) = self.bus.publish(&topic, piece).await {
                tracing::warn!(target: "portcullis::bus", %error, "sessions are not told");
                return;
            }
        }
    }

    /// Rests the session `id`, which is not on this gate, on the credential of `by`.
    pub(crate) async fn renew_elsewhere(
        &self,
        id: SessionId,
        by: &Identity,
        route: &str,
    ) -> Result<Option<Timestamp>, NotRenewed> {
        let question = Question::Renew {
            id: id.to_string(),
            by: Box::new(by.clone()),
            route: route.to_owned(),
        };
        let answer = self.ask(&question).await.ok_or(NotRenewed::Unknown)?;
        match serde_json::from_slice(&answer) {
            Ok(Renewed::Until(at)) => Ok(at.map(Timestamp::from_millis)),
            Ok(Renewed::OtherSubject) => Err(NotRenewed::OtherSubject),
            Ok(Renewed::WiderScopes) => Err(NotRenewed::WiderScopes),
            Err(_) => Err(NotRenewed::Unavailable),
        }
    }

    /// What the gate that knows answers; none where nobody does.
    pub(super) async fn ask(&self, question: &Question) -> Option<Bytes> {
        if !self.is_shared {
            return None;
        }
        let question = serde_json::to_vec(question).ok()?;
        let asked = self.bus.request(&topic(), question.into(), PATIENCE).await;
        asked.ok()
    }

    /// The live sessions of other gates, as far as they tell them in time.
    pub(super) async fn sessions_elsewhere(
        &self,
        filter: &LiveFilter,
        after: Option<SessionId>,
        limit: usize,
    ) -> Vec<ShownSession> {
        let mut found = Vec::new();
        let Ok(random) = secrets::random() else {
            return found;
        };
        let answers = format!("answers.{random}");
        let Ok(topic_of_answers) = answers.parse() else {
            return found;
        };
        let question = Question::List {
            subject: filter.subject.clone(),
            route: filter.route.clone(),
            after: after.map(|after| after.to_string()),
            limit,
            answers,
            from: self.name.clone(),
        };
        let (Ok(mut told), Ok(question)) = (
            self.bus.subscribe(&topic_of_answers).await,
            serde_json::to_vec(&question),
        ) else {
            return found;
        };
        if self.bus.publish(&topic(), question.into()).await.is_err() {
            return found;
        }
        let end = Instant::now() + PATIENCE;
        while let Ok(Some(notice)) = timeout_at(end, told.next()).await {
            if let Notice::Message(message) = notice {
                let lines = message.payload.split(|byte| *byte == b'\n');
                found.extend(lines.flat_map(serde_json::from_slice::<ShownSession>));
            }
            if found.len() >= MOST {
                break;
            }
        }
        found
    }
}

/// Sessions, a line each, in messages that a bus takes.
fn pieces(sessions: impl Iterator<Item = ShownSession>) -> Vec<Bytes> {
    let mut pieces = Vec::new();
    let mut piece = Vec::new();
    for line in sessions.flat_map(|session| serde_json::to_vec(&session)) {
        if piece.len() + line.len() >= MAX_PAYLOAD {
            pieces.push(Bytes::from(std::mem::take(&mut piece)));
        }
        piece.extend_from_slice(&line);
        piece.push(b'\n');
    }
    pieces.push(piece.into());
    pieces
}

fn topic() -> Topic {
    "gates".parse().expect("it is one word")
}

/// How long other gates may take to answer.
const PATIENCE: Duration = Duration::from_millis(500);

/// The most sessions that one question brings.
const MOST: usize = 10_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_go_in_messages_that_a_bus_takes_and_each_comes_out_once() {
        let session = |number: usize| -> ShownSession {
            let long = "x".repeat(900);
            serde_json::from_value(serde_json::json!({
                "id": number.to_string(), "gate": "g", "route": long, "subject": long,
                "scopes": ["a\nb"], "opened_at": "2026-11-24T20:00:00Z",
            }))
            .expect("a session")
        };
        let pieces = pieces((0..100).map(session));
        assert!(pieces.len() > 2);
        assert!(pieces.iter().all(|piece| piece.len() <= MAX_PAYLOAD));
        let lines = pieces
            .iter()
            .flat_map(|piece| piece.split(|byte| *byte == b'\n'));
        let found: Vec<String> = lines
            .flat_map(serde_json::from_slice::<ShownSession>)
            .map(|session| session.id)
            .collect();
        let all: Vec<String> = (0..100).map(|number| number.to_string()).collect();
        assert_eq!(found, all);
    }
}
