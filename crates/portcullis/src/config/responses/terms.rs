//! How long things may take, and how large they may be.

use std::time::Duration;

use portcullis_responses::upstream::Timeouts;
use portcullis_responses::{ConfigError, Remembers, Terms};

use crate::config::builder::Builder;
use crate::config::{file, values};

/// What connections must keep to.
pub(super) fn terms(builder: &mut Builder, table: &file::Responses) -> Option<Terms> {
    let remembers = if table.upstream_stores {
        Remembers::BridgeAndUpstream
    } else {
        Remembers::Bridge
    };
    let mut terms = Terms::default().with_memory(remembers);
    type WithTime = fn(Terms, Duration) -> Result<Terms, ConfigError>;
    let times: [(_, WithTime); 3] = [
        (&table.keepalive, Terms::with_keepalive),
        (&table.max_age, Terms::with_lifetime),
        (&table.grace, Terms::with_grace),
    ];
    for (written, with) in times {
        if let Some(written) = written {
            let time = builder.duration(Some(written))?;
            let mend = "write a time within these bounds";
            terms = builder.take(with(terms, time), written, mend)?;
        }
    }
    type WithSize = fn(Terms, usize) -> Result<Terms, ConfigError>;
    let sizes: [(_, WithSize); 3] = [
        (&table.max_message, Terms::with_message_bytes),
        (&table.memory, Terms::with_chain_bytes),
        (&table.waiting, Terms::with_pending_bytes),
    ];
    for (written, with) in sizes {
        if let Some(written) = written {
            let size = builder.value(values::size(&written.value.0), written)?;
            let size = usize::try_from(size).unwrap_or(usize::MAX);
            let mend = "write a size within these bounds";
            terms = builder.take(with(terms, size), written, mend)?;
        }
    }
    Some(terms)
}

/// How long the upstream may take.
pub(super) fn timeouts(
    builder: &mut Builder,
    route: &file::Route,
    table: &file::Responses,
) -> Timeouts {
    let default = Timeouts::default();
    let connect = builder.some_time(route.connect_timeout.as_ref());
    let head = builder.some_time(route.response_timeout.as_ref());
    let silence = builder.some_time(table.silence_timeout.as_ref());
    Timeouts {
        connect: connect.unwrap_or(default.connect),
        head: head.unwrap_or(default.head),
        silence: silence.unwrap_or(default.silence),
    }
}
