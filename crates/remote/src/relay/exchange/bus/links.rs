//! The links of guests that are here.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio_util::sync::CancellationToken;

use crate::relay::Notice;
use crate::relay::link::RoadAge;

/// The links of guests that are here, by host. Clones are the same.
///
/// A link to a road ends with that. When the road's gate was killed nobody says so; but when the host has opened
/// a newer road, the old one is over, and its guests must be at the new one before that stops to wait for
/// them.
#[derive(Clone, Default)]
pub(super) struct Links(Arc<Mutex<HashMap<Box<str>, Vec<Known>>>>);

struct Known {
    link: u128,
    road: RoadAge,
    over: CancellationToken,
}

impl Links {
    /// There is a link to `road`; `over` is cancelled when a newer one opens.
    pub(super) fn enter(
        &self,
        host: &str,
        link: u128,
        road: RoadAge,
        over: CancellationToken,
    ) -> Entered {
        let mut links = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let own = links.entry(host.into()).or_default();
        own.push(Known { link, road, over });
        Entered {
            links: self.clone(),
            host: host.into(),
            link,
        }
    }

    /// Hears what is told, here or elsewhere.
    pub(super) fn hear(&self, notice: &Notice) {
        let Notice::RoadOpened { host, road, at } = notice else {
            return;
        };
        let newer = RoadAge {
            since: *at,
            number: *road,
        };
        let links = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let own = links.get(host).into_iter().flatten();
        own.filter(|known| known.road < newer)
            .for_each(|known| known.over.cancel());
    }
}

/// A link's entry, which goes when this is dropped.
pub(super) struct Entered {
    links: Links,
    host: Box<str>,
    link: u128,
}

impl Drop for Entered {
    fn drop(&mut self) {
        let mut links = self.links.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = links.get_mut(&self.host) {
            own.retain(|known| known.link != self.link);
            if own.is_empty() {
                links.remove(&self.host);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use portcullis_boundary::clock::Timestamp;

    use super::*;

    #[test]
    fn a_newer_road_ends_the_links_to_older_ones_and_being_told_of_one_again_ends_none() {
        let links = Links::default();
        let road = |millis, number| RoadAge {
            since: Timestamp::from_millis(millis),
            number,
        };
        let opened = |road: RoadAge| Notice::RoadOpened {
            host: "h".into(),
            road: road.number,
            at: road.since,
        };
        let over = [(); 3].map(|()| CancellationToken::new());
        let entered = [
            links.enter("h", 1, road(5, 1), over[0].clone()),
            links.enter("h", 2, road(7, 1), over[1].clone()),
            links.enter("other", 3, road(5, 1), over[2].clone()),
        ];
        links.hear(&opened(road(5, 1)));
        links.hear(&opened(road(4, 9)));
        assert!(over.iter().all(|over| !over.is_cancelled()));
        links.hear(&opened(road(7, 1)));
        assert_eq!(over.map(|over| over.is_cancelled()), [true, false, false]);
        drop(entered);
        assert!(links.0.lock().expect("no panic").is_empty());
    }
}
