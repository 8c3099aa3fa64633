//! Two gates with one book.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use portcullis_remote::relay::exchange::LocalExchange;
use portcullis_remote::relay::exchange::bus::BusSettings;
use portcullis_remote::relay::{Exchange, Settings, Whose};
use tokio_util::sync::CancellationToken;

use super::{MemoryBook, Served, Server, TestBus};

/// A gate, as one of several.
pub(crate) struct Gate {
    served: Served,
    /// Ends what its exchange does.
    end: CancellationToken,
}

/// Two gates to be started, where guests reach the hosts of Ada.
pub(crate) struct Gates {
    pub(crate) settings: Settings,
    exchanges: [(Arc<dyn Exchange>, CancellationToken); 2],
}

impl Gates {
    pub(crate) fn in_one_process() -> Self {
        let exchange = LocalExchange::new();
        let one =
            || -> (Arc<dyn Exchange>, _) { (Arc::new(exchange.clone()), CancellationToken::new()) };
        Self::with([one(), one()])
    }

    /// Over a bus, where nobody waits for long.
    pub(crate) fn over(bus: &TestBus) -> Self {
        let one = || -> (Arc<dyn Exchange>, _) {
            let (exchange, end) = bus.exchange(BusSettings {
                patience: Duration::from_millis(300),
                beat: Duration::from_millis(100),
                silence: Duration::from_millis(1500),
                ..BusSettings::default()
            });
            (Arc::new(exchange), end)
        };
        Self::with([one(), one()])
    }

    pub(crate) fn with(exchanges: [(Arc<dyn Exchange>, CancellationToken); 2]) -> Self {
        Self {
            settings: Server::default().settings,
            exchanges,
        }
    }

    pub(crate) async fn start(self) -> [Gate; 2] {
        let book = MemoryBook::default();
        let start = |(exchange, end)| {
            let server = Server {
                book: book.clone(),
                exchange,
                settings: self.settings.clone(),
                whose: Whose::Accounts("ada".into()),
            };
            async move {
                Gate {
                    served: server.start().await,
                    end,
                }
            }
        };
        let [near, far] = self.exchanges;
        [start(near).await, start(far).await]
    }
}

impl Gate {
    /// Ends it as a process that is killed: without a word to anybody.
    pub(crate) async fn kill(self) {
        self.end.cancel();
        self.served.kill().await;
    }
}

impl Deref for Gate {
    type Target = Served;

    fn deref(&self) -> &Served {
        &self.served
    }
}
