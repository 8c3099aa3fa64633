//! A level-triggered epoll set, so that generator and upstream cost little beside a proxy.

use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::buffer::spare_capacity;
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};

/// Wake when the peer has sent something.
pub(crate) const READ: EventFlags = EventFlags::IN;
/// Wake when there is room to send.
pub(crate) const WRITE: EventFlags = EventFlags::OUT;

/// The set of descriptors waited on; a closed descriptor leaves it by itself.
#[derive(Debug)]
pub(crate) struct Poll {
    epoll: OwnedFd,
}

impl Poll {
    /// Opens an empty set.
    pub(crate) fn new() -> Result<Self> {
        let epoll = epoll::create(CreateFlags::CLOEXEC).context("epoll_create")?;
        Ok(Self { epoll })
    }

    /// Adds `source` under `key`.
    pub(crate) fn add(&self, source: impl AsFd, key: usize, interest: EventFlags) -> Result<()> {
        epoll::add(
            &self.epoll,
            source,
            EventData::new_u64(key as u64),
            interest,
        )
        .context("epoll_ctl add")
    }

    /// Changes what `source` waits for.
    pub(crate) fn change(&self, source: impl AsFd, key: usize, interest: EventFlags) -> Result<()> {
        epoll::modify(
            &self.epoll,
            source,
            EventData::new_u64(key as u64),
            interest,
        )
        .context("epoll_ctl mod")
    }

    /// Replaces `events` by those that are ready; empty after `timeout`.
    pub(crate) fn wait(&self, events: &mut Vec<Event>, timeout: Option<Duration>) -> Result<()> {
        let timeout = timeout
            .map(Timespec::try_from)
            .transpose()
            .context("time-out")?;
        events.clear();
        match epoll::wait(&self.epoll, spare_capacity(events), timeout.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(error) => Err(error).context("epoll_wait"),
        }
    }
}

/// The key under which the source of `event` was added.
pub(crate) fn key(event: &Event) -> usize {
    usize::try_from(event.data.u64()).unwrap_or(usize::MAX)
}
