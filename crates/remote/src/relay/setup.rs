//! The relay itself.

use std::fmt;
use std::sync::{Arc, Weak};

use portcullis_boundary::RefusalKind;
use portcullis_boundary::clock::{Clock, Moment};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::exchange::{Board, Coming, Exchange, Notice, Unreached};
use super::guest::Guests;
use super::link::Link;
use super::lookout::Lookout;
use super::road::{End, Roads};
use super::service::{Claims, GuestEnd, HostEnd, Strangers, Whose};
use super::unread::{AllUnread, Unread};
use super::{BookError, GuestStatus, HostBook, RoadCounts, RoadStatus, Settings, secret};

/// What a relay is made of.
#[expect(clippy::exhaustive_structs, reason = "each must be decided")]
pub struct Setup {
    /// How long and how many.
    pub settings: Settings,
    /// What must be remembered.
    pub book: Arc<dyn HostBook>,
    /// The other gates.
    pub exchange: Arc<dyn Exchange>,
    /// The wall clock.
    pub clock: Arc<dyn Clock>,
    /// Where the task of each socket is spawned. Who ends the program waits for it.
    pub tasks: TaskTracker,
    /// Cancelled when the gate drains: roads and guests are told to come back.
    pub draining: CancellationToken,
}

/// The end that hosts dial. Clones are the same relay. See the [module](super).
#[derive(Clone)]
pub struct Relay(pub(super) Arc<Inner>);

/// What the parts of a relay share.
pub(crate) struct Inner {
    pub(super) number: u128,
    pub(super) settings: Settings,
    pub(super) book: Arc<dyn HostBook>,
    pub(super) exchange: Arc<dyn Exchange>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) tasks: TaskTracker,
    pub(super) draining: CancellationToken,
    pub(super) roads: Arc<Roads>,
    pub(super) guests: Guests,
    pub(super) claims: Claims,
    pub(super) strangers: Strangers,
    pub(super) lookout: Lookout,
    all_unread: AllUnread,
    origin: Instant,
}

impl Relay {
    /// A relay as `setup` says, which joins its exchange.
    ///
    /// # Errors
    ///
    /// [`BookError`] when the operating system has no random numbers to give.
    pub fn new(setup: Setup) -> Result<Self, BookError> {
        let number = secret::number().map_err(|error| BookError::new(error.to_string()))?;
        let inner = Arc::new(Inner {
            number,
            roads: Arc::new(Roads::new(setup.settings.roads, setup.settings.guests)),
            guests: Guests::default(),
            claims: Claims::new(&setup.settings),
            strangers: Strangers::default(),
            lookout: Lookout::default(),
            all_unread: AllUnread::new(setup.settings.all_unread),
            settings: setup.settings,
            book: setup.book,
            exchange: setup.exchange,
            clock: setup.clock,
            tasks: setup.tasks,
            draining: setup.draining,
            origin: Instant::now(),
        });
        let board: Arc<dyn Board> = Arc::clone(&inner) as Arc<dyn Board>;
        let board: Weak<dyn Board> = Arc::downgrade(&board);
        inner.exchange.join(board);
        Ok(Self(inner))
    }

    /// What hosts ask, at paths with nothing before them.
    #[must_use]
    pub fn host_end(&self) -> HostEnd {
        HostEnd::new(Arc::clone(&self.0))
    }

    /// What the guests of the host `name` ask; `whose` says which account's host of that name it is.
    #[must_use]
    pub fn guest_end(&self, name: impl Into<Arc<str>>, whose: Whose) -> GuestEnd {
        GuestEnd::new(Arc::clone(&self.0), name.into(), whose)
    }

    /// How each road stands that ends here.
    #[must_use]
    pub fn roads(&self) -> Vec<RoadStatus> {
        self.0.roads.statuses()
    }

    /// How many roads there were, and how they ended.
    #[must_use]
    pub fn road_counts(&self) -> RoadCounts {
        self.0.roads.counts()
    }

    /// The guests that are here.
    #[must_use]
    pub fn guests(&self) -> Vec<GuestStatus> {
        self.0.guests.statuses()
    }
}

impl Inner {
    /// Monotonic time.
    pub(super) fn moment(&self) -> Moment {
        Moment::at(self.origin.elapsed())
    }

    /// When that will be.
    pub(super) fn instant(&self, moment: Moment) -> Instant {
        self.origin + moment.elapsed()
    }

    /// Tells other gates, and this one.
    pub(super) fn tell(&self, notice: Notice) {
        self.hear(&notice);
        self.exchange.tell(self.number, notice);
    }
}

impl Board for Inner {
    fn number(&self) -> u128 {
        self.number
    }

    fn attach(&self, host: &str, guest: &Coming) -> Result<Link, Unreached> {
        let road = self.roads.find(host).ok_or(Unreached::Away)?;
        road.attach(guest)
    }

    fn unread(&self) -> Unread {
        let Settings {
            unread,
            host_message,
            ..
        } = self.settings;
        // A message, in base64, and as much of the next.
        let in_parts = host_message.saturating_mul(2).saturating_add(unread);
        Unread::new(self.all_unread.clone(), unread, in_parts)
    }

    fn has_road(&self, host: &str) -> bool {
        self.roads.find(host).is_some()
    }

    fn hear(&self, notice: &Notice) {
        match notice {
            Notice::RoadOpened { host, road, at } => {
                self.roads.yield_to(host, *road, *at);
                self.roads.wake(host);
            }
            Notice::HostEnded { host } => {
                let road = self.roads.find(host);
                road.inspect(|road| road.end(End::Revoked));
                self.guests.cut(host, None, RefusalKind::ResourceUnknown);
            }
            Notice::DeviceEnded { host, device } => {
                self.guests.cut(host, Some(device), RefusalKind::NotOwner);
            }
        }
    }

    fn missed(self: Arc<Self>) {
        self.look_in_the_book();
    }
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Relay")
    }
}

impl fmt::Debug for Relay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Relay")
    }
}

impl fmt::Debug for Setup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Setup")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}
