//! All that gates count together, as one authority: places of sessions, and rates of addresses.

use portcullis_boundary::{Arrival, Authority, Identity, Refusal, Reservation};

use crate::places::Places;
use crate::rates::SharedRates;

/// Asks both. Its clones are the same.
#[derive(Clone, Debug)]
pub(crate) struct Counted {
    pub(crate) places: Places,
    pub(crate) rates: SharedRates,
}

impl Authority for Counted {
    fn counts_arrivals(&self) -> bool {
        self.rates.count_arrivals()
    }

    async fn pace(&self, arrival: &Arrival) -> Result<(), Refusal> {
        self.rates.pace(arrival).await
    }

    async fn failed(&self, arrival: &Arrival) -> Result<(), Refusal> {
        self.rates.failed(arrival).await
    }

    async fn reserve(
        &self,
        identity: &Identity,
        arrival: &Arrival,
        route: &str,
    ) -> Result<Option<Reservation>, Refusal> {
        self.places.reserve(identity, arrival, route).await
    }
}
