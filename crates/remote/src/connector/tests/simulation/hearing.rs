//! What the host hears on its road, and its upstreams.

use super::events::{Event, Frame};
use super::host::{Queued, Upstream, message, number};
use super::world::World;
use crate::connector::machine::{Beat, Event as Told, Loss};
use crate::wire::{Key, Status, host as wire};

impl World {
    pub(super) fn host_loses(&mut self, road: u64, text: &str) {
        if self.host.process.road == Some(road) {
            let text = text.into();
            self.host_told(Told::RoadLost(Loss {
                text,
                refusal: None,
            }));
        }
    }

    pub(super) fn host_tick(&mut self) {
        let process = &mut self.host.process;
        process.machine.tick(self.now);
        let Some(pulse) = &mut process.pulse else {
            return;
        };
        let beat = pulse.beat(self.now.moment);
        self.queue.put_tick(pulse.deadline(), Event::HostTick);
        let road = process.road.expect("a pulse has a road");
        match beat {
            Beat::Nothing => {}
            Beat::Ping => self.carry_to_relay(road, Frame::Ping),
            Beat::Dead => self.host_loses(road, "dead"),
        }
    }

    pub(super) fn host_hears(&mut self, road: u64, frame: Frame) {
        if self.host.process.road != Some(road) || !self.network.carries(road) {
            return;
        }
        let envelope = match frame {
            Frame::Said(envelope) => envelope,
            Frame::Pong => {
                let pulse = self.host.process.pulse.as_mut();
                if pulse.is_some_and(|pulse| pulse.answered(self.now.moment)) {
                    self.host_told(Told::Proven);
                }
                return;
            }
            Frame::Ping | Frame::Text(_) => return,
        };
        let process = &mut self.host.process;
        match process
            .inbound
            .accept(envelope, || "legacy".into(), self.now.moment)
        {
            wire::Heard::Opened(key, message) => {
                let upstream = Upstream {
                    to_say: self.talk,
                    ..Upstream::default()
                };
                process.upstreams.insert(key.clone(), upstream);
                self.queued(&key, Queued::Message(message));
            }
            wire::Heard::Message(key, message) => self.queued(&key, Queued::Message(message)),
            wire::Heard::Ping(key, Status::Active) => self.queued(&key, Queued::Ping { road }),
            wire::Heard::Ping(key, Status::Unknown) => process.owe(&key, Status::Unknown),
            wire::Heard::Closed(key) => {
                process.upstreams.remove(&key);
            }
            wire::Heard::Ack {
                key,
                seq_id,
                segment_id,
            } => {
                process.outbound.acknowledge(&key, seq_id, segment_id);
                process.settle();
            }
            wire::Heard::Nothing(_) => {}
        }
        self.host.process.inbound.delivered();
    }

    fn queued(&mut self, key: &Key, queued: Queued) {
        let process = &mut self.host.process;
        let number = process.number;
        let upstream = process.upstreams.get_mut(key).expect("it is served");
        upstream.queue.push_back(queued);
        if upstream.queue.len() == 1 {
            let at = self.at(30);
            let key = key.clone();
            self.queue.put(
                at,
                Event::UpstreamTakes {
                    process: number,
                    key,
                },
            );
        }
    }

    pub(super) fn upstream_takes(&mut self, process: u64, key: &Key) {
        // Now and then it thinks for so long that a road comes and goes.
        let is_slow = !self.network.is_calm && self.chance.is_one_in(16);
        let at = self.at(if is_slow { 8000 } else { 30 });
        let host = &mut self.host.process;
        let Some(upstream) = host
            .upstreams
            .get_mut(key)
            .filter(|_| host.number == process)
        else {
            return;
        };
        match upstream.queue.pop_front() {
            Some(Queued::Message(message)) => {
                if let Some(n) = number(&message) {
                    assert!(upstream.begun, "it begins with initialize");
                    assert_eq!(
                        n,
                        upstream.taken + 1,
                        "an upstream takes each message once, in order"
                    );
                    upstream.taken = n;
                } else {
                    assert!(!upstream.begun, "it begins once");
                    upstream.begun = true;
                    let key = key.clone();
                    self.queue.put(at, Event::UpstreamSays { process, key });
                }
            }
            Some(Queued::Ping { road }) if host.road == Some(road) => {
                host.owe(key, Status::Active);
            }
            Some(Queued::Ping { .. }) | None => {}
        }
        let host = &self.host.process;
        if host
            .upstreams
            .get(key)
            .is_some_and(|upstream| !upstream.queue.is_empty())
        {
            let key = key.clone();
            self.queue.put(at, Event::UpstreamTakes { process, key });
        }
    }

    pub(super) fn upstream_says(&mut self, process: u64, key: &Key) {
        let at = self.at(4000);
        let host = &mut self.host.process;
        let Some(upstream) = host
            .upstreams
            .get_mut(key)
            .filter(|_| host.number == process)
        else {
            return;
        };
        if upstream.said == upstream.to_say {
            return;
        }
        // It waits while there is no room.
        if host
            .outbound
            .message(key, message(upstream.said + 1, 0))
            .is_ok()
        {
            upstream.said += 1;
        }
        let key = key.clone();
        self.queue.put(at, Event::UpstreamSays { process, key });
    }
}
