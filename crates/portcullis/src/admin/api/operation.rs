//! The table of what the API does. The routes and the OpenAPI document are made of it.

use std::pin::Pin;

use axum::http::Method;
use schemars::{JsonSchema, Schema, SchemaGenerator};

use super::answer::{List, Problem, Reply};
use super::call::Call;
use super::{Api, audit, connector, keys, openapi, revocations, sessions, tickets, users};
use crate::state::ShownSession;

/// One method of one path.
pub(super) struct Operation {
    /// The method.
    pub(super) method: Method,
    /// The path below the prefix, with at most one name in it.
    pub(super) path: &'static str,
    /// What it does.
    pub(super) summary: &'static str,
    /// The parameters.
    pub(super) query: Option<Described>,
    /// The body that it takes.
    pub(super) body: Option<Described>,
    /// The status of success.
    pub(super) status: u16,
    /// The body of success.
    pub(super) answer: Option<Described>,
    /// Who does it.
    pub(super) handler: Handler,
}

/// Describes a type.
pub(super) type Described = fn(&mut SchemaGenerator) -> Schema;

/// Does what is asked.
pub(super) type Handler =
    fn(Api, Call) -> Pin<Box<dyn Future<Output = Result<Reply, Problem>> + Send>>;

impl Operation {
    const fn new(
        method: Method,
        path: &'static str,
        summary: &'static str,
        handler: Handler,
    ) -> Self {
        Self {
            method,
            path,
            summary,
            query: None,
            body: None,
            status: 204,
            answer: None,
            handler,
        }
    }

    fn query<T: JsonSchema>(mut self) -> Self {
        self.query = Some(described::<T>);
        self
    }

    fn body<T: JsonSchema>(mut self) -> Self {
        self.body = Some(described::<T>);
        self
    }

    fn answers<T: JsonSchema>(mut self, status: u16) -> Self {
        self.status = status;
        self.answer = Some(described::<T>);
        self
    }
}

fn described<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

/// All of them.
pub(super) fn operations() -> Vec<Operation> {
    [
        about(),
        of_keys(),
        of_users(),
        of_revocations(),
        of_sessions(),
        of_audit(),
        of_tickets(),
        of_connector(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn about() -> Vec<Operation> {
    let document = Operation::new(Method::GET, "/openapi.json", "This document", |_, _| {
        Box::pin(async { Reply::ok(openapi::document()) })
    });
    vec![document.answers::<serde_json::Map<String, serde_json::Value>>(200)]
}

fn of_keys() -> Vec<Operation> {
    const ALL: &str = "/keys";
    const ONE: &str = "/keys/{id}";
    vec![
        Operation::new(Method::GET, ALL, "List keys", |api, call| {
            Box::pin(keys::list(api, call))
        })
        .query::<keys::WhichKeys>()
        .answers::<List<keys::ShownKey>>(200),
        Operation::new(Method::POST, ALL, "Make a key", |api, call| {
            Box::pin(keys::create(api, call))
        })
        .body::<keys::NewKey>()
        .answers::<keys::WholeKey>(201),
        Operation::new(Method::GET, ONE, "Show a key", |api, call| {
            Box::pin(keys::show(api, call))
        })
        .answers::<keys::ShownKey>(200),
        Operation::new(Method::DELETE, ONE, "Take a key back", |api, call| {
            Box::pin(keys::revoke(api, call))
        }),
    ]
}

fn of_users() -> Vec<Operation> {
    const ALL: &str = "/users";
    const ONE: &str = "/users/{subject}";
    vec![
        Operation::new(Method::GET, ALL, "List users", |api, call| {
            Box::pin(users::list(api, call))
        })
        .query::<users::WhichUsers>()
        .answers::<List<users::ShownUser>>(200),
        Operation::new(Method::GET, ONE, "Show a user", |api, call| {
            Box::pin(users::show(api, call))
        })
        .answers::<users::ShownUser>(200),
        Operation::new(
            Method::PUT,
            ONE,
            "Add a user, or replace what is known of one",
            |api, call| Box::pin(users::put(api, call)),
        )
        .body::<users::WantedUser>()
        .answers::<users::ShownUser>(200),
        Operation::new(
            Method::PATCH,
            ONE,
            "Enable or disable an account",
            |api, call| Box::pin(users::change(api, call)),
        )
        .body::<users::UserChange>(),
        Operation::new(
            Method::DELETE,
            ONE,
            "Remove a user, and take their keys back",
            |api, call| Box::pin(users::remove(api, call)),
        ),
    ]
}

fn of_revocations() -> Vec<Operation> {
    const ALL: &str = "/revocations";
    vec![
        Operation::new(Method::GET, ALL, "List revocations", |api, call| {
            Box::pin(revocations::list(api, call))
        })
        .query::<revocations::WhichRevocations>()
        .answers::<List<revocations::ShownRevocation>>(200),
        Operation::new(
            Method::POST,
            ALL,
            "Revoke, and end the sessions that it covers on every gate",
            |api, call| Box::pin(revocations::create(api, call)),
        )
        .body::<revocations::WantedRevocation>()
        .answers::<revocations::MadeRevocation>(201),
        Operation::new(
            Method::DELETE,
            "/revocations/{id}",
            "Withdraw a revocation",
            |api, call| Box::pin(revocations::withdraw(api, call)),
        ),
    ]
}

fn of_sessions() -> Vec<Operation> {
    const ALL: &str = "/sessions";
    const ONE: &str = "/sessions/{id}";
    vec![
        Operation::new(
            Method::GET,
            ALL,
            "List live sessions of every gate that answers",
            |api, call| Box::pin(sessions::list(api, call)),
        )
        .query::<sessions::WhichSessions>()
        .answers::<sessions::ListOfSession>(200),
        Operation::new(Method::GET, ONE, "Show a live session", |api, call| {
            Box::pin(sessions::show(api, call))
        })
        .answers::<ShownSession>(200),
        Operation::new(
            Method::DELETE,
            ONE,
            "End a live session, as revoked",
            |api, call| Box::pin(sessions::end(api, call)),
        ),
    ]
}

fn of_audit() -> Vec<Operation> {
    let list = Operation::new(
        Method::GET,
        "/audit",
        "List what was decided and done, the latest first",
        |api, call| Box::pin(audit::list(api, call)),
    );
    vec![
        list.query::<audit::WhichRecords>()
            .answers::<List<audit::ShownRecord>>(200),
    ]
}

fn of_tickets() -> Vec<Operation> {
    let create = Operation::new(
        Method::POST,
        "/tickets",
        "Make a ticket that opens one session",
        |api, call| Box::pin(tickets::create(api, call)),
    );
    vec![
        create
            .body::<tickets::NewTicket>()
            .answers::<tickets::WholeTicket>(201),
    ]
}

fn of_connector() -> Vec<Operation> {
    const ONE: &str = "/connector";
    vec![
        Operation::new(
            Method::GET,
            ONE,
            "Show how the host is doing that dials from this gate",
            |api, call| Box::pin(connector::show(api, call)),
        )
        .answers::<connector::ShownConnector>(200),
        Operation::new(
            Method::POST,
            ONE,
            "Have that host dial, or hang up",
            |api, call| Box::pin(connector::order(api, call)),
        )
        .body::<connector::WantedConnector>(),
    ]
}
