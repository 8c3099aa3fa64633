//! Relays that share a bus.
//!
//! 1. A gate asks all others for the road of a host. Who has it says so; the guest's gate takes the first, and
//!    only then comes the guest to the road. Nobody in time means that the host is away.
//! 2. A link has two topics of its own, so that neither a slow guest nor a crowd fills another's queue. What goes
//!    over them is numbered and bounded by a machine at each end, whose docs have the rules.
//! 3. A link that loses anything ends, and its guest looks for the road again. What it said and its host has not
//!    heard is said again; what its host said and it has not heard shows as a gap in the host's numbers, which
//!    the guest is told as the end.
//! 4. A gate that dies is noticed by its silence, or sooner by a newer road of the host.
//! 5. What is told of roads, hosts and devices may be lost. Who hears that it was looks in the book; who could not
//!    tell says so when he can.
//!
//! 6. Which of two roads of a host is the newer is told by the wall clocks of their gates.
//!
//! # Deployment caveat
//!
//! Keep the gates' clocks together. When a host leaves a gate whose clock is ahead and is at another before that
//! lead is over, its old road stays until it is silent for too long, and may end the new one meanwhile.
//!
//! Whatever guests and hosts say to each other is on the bus as they say it, and whoever may publish there can
//! speak as any of them. The relay puts no secret of its own on it: no token, no code, no account. Give the gates
//! an account of their own on the bus, and TLS.

mod byte_bus;
mod driver;
mod frame;
mod guest_end;
mod hub;
mod links;
mod listener;
mod machine;
mod question;
mod road_end;
mod teller;
mod words;

use std::collections::HashSet;
use std::fmt;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use self::byte_bus::{ByteBus, Ear, Heard, MAX_PAYLOAD, NotTold};
use self::hub::Hub;
use super::{Asked, Board, Coming, Exchange, Notice, Unreached};
use crate::relay::link::Link;

/// How long and how many.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(
    clippy::exhaustive_structs,
    reason = "written with `..Default::default()`"
)]
pub struct BusSettings {
    /// How long other gates may take to answer. Default: one second.
    pub patience: Duration,
    /// How often each end of a link says that it is there. Default: two seconds.
    pub beat: Duration,
    /// After how long of not hearing it the other end is taken for gone. Default: seven seconds.
    pub silence: Duration,
    /// The most links of guests of this gate, and as many of roads; each is a subscription. Default: 4096.
    pub links: usize,
    /// The most questions at once whether another gate has a road, each of which is a subscription too. Default:
    /// 256.
    pub questions: usize,
}

impl Default for BusSettings {
    fn default() -> Self {
        Self {
            patience: Duration::from_secs(1),
            beat: Duration::from_secs(2),
            silence: Duration::from_secs(7),
            links: 4096,
            questions: 256,
        }
    }
}

/// What an exchange over a bus is made of.
#[expect(clippy::exhaustive_structs, reason = "each must be decided")]
pub struct BusSetup {
    /// The bus.
    pub bus: Arc<dyn ByteBus>,
    /// How long and how many.
    pub settings: BusSettings,
    /// Where its tasks are spawned. Who ends the program waits for it.
    pub tasks: TaskTracker,
    /// Where they run. It must outlive the exchange.
    pub runtime: Handle,
    /// Cancelled when the program ends, after roads and guests: the tasks end without a word.
    pub end: CancellationToken,
}

/// The exchange of gates that share a bus. Its clones are the same exchange. See the [module](self).
#[derive(Clone)]
pub struct BusExchange(Arc<Hub>);

impl BusExchange {
    /// An exchange that nobody has joined.
    #[must_use]
    pub fn new(setup: BusSetup) -> Self {
        Self(Hub::new(setup))
    }
}

impl Exchange for BusExchange {
    fn join(&self, board: Weak<dyn Board>) {
        self.0.spawn(listener::listen(Arc::clone(&self.0), board));
    }

    fn reach(&self, asker: u128, host: &str, guest: &Coming) -> Asked<Result<Link, Unreached>> {
        guest_end::reach(&self.0, asker, host, guest)
    }

    fn roads_elsewhere(&self, asker: u128, hosts: HashSet<Box<str>>) -> Asked<HashSet<Box<str>>> {
        question::ask(&self.0, asker, hosts)
    }

    fn tell(&self, teller: u128, notice: Notice) {
        self.0.links.hear(&notice);
        self.0.teller.tell(teller, notice);
    }
}

impl fmt::Debug for BusExchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BusExchange").finish_non_exhaustive()
    }
}

impl fmt::Debug for BusSetup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BusSetup")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}
