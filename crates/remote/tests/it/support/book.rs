//! A book in memory.

use std::sync::{Arc, Mutex, MutexGuard};

use portcullis_boundary::clock::Timestamp;
use portcullis_remote::relay::{
    Answer, BookError, Code, Device, Host, HostBook, Listed, NotAdded, Page, Pairing, Platform,
    Renamed, SecretDigest,
};
use tokio::sync::watch;

/// A book that forgets all when it is dropped. Clones are the same book.
#[derive(Clone, Default)]
pub(crate) struct MemoryBook(Arc<Mutex<Pages>>);

#[derive(Default)]
struct Pages {
    hosts: Vec<Host>,
    pairings: Vec<(Pairing, bool)>,
    devices: Vec<Device>,
    is_away: bool,
    /// What claims wait for.
    held: Option<watch::Receiver<bool>>,
}

impl MemoryBook {
    /// From here on it does not answer, or does again.
    pub(crate) fn set_away(&self, is_away: bool) {
        self.0.lock().expect("no panic").is_away = is_away;
    }

    /// From here on claims are answered when the answer of this is dropped, or told `true`.
    pub(crate) fn hold_claims(&self) -> watch::Sender<bool> {
        let (release, held) = watch::channel(false);
        self.0.lock().expect("no panic").held = Some(held);
        release
    }

    fn ask<T: Send + 'static>(&self, ask: impl FnOnce(&mut Pages) -> T) -> Answer<T> {
        let mut pages: MutexGuard<'_, Pages> = self.0.lock().expect("no panic");
        let answer = if pages.is_away {
            Err(BookError::new("away"))
        } else {
            Ok(ask(&mut pages))
        };
        Box::pin(std::future::ready(answer))
    }

    fn find(&self, is_it: impl Fn(&Host) -> bool) -> Answer<Option<Host>> {
        self.ask(|pages| pages.hosts.iter().find(|host| is_it(host)).cloned())
    }
}

impl Pages {
    fn host(&mut self, id: &str) -> Option<&mut Host> {
        self.hosts.iter_mut().find(|host| &*host.id == id)
    }
}

fn page<T: Clone>(all: &[T], page: &Page, id: impl Fn(&T) -> &str) -> Listed<T> {
    let mut all = all.to_vec();
    all.sort_by(|one, other| id(one).cmp(id(other)));
    if page.is_descending {
        all.reverse();
    }
    if let Some(after) = &page.after {
        let at = all.iter().position(|it| id(it) == &**after);
        all.drain(..at.map_or(0, |at| at + 1));
    }
    let has_more = all.len() > usize::from(page.limit);
    all.truncate(usize::from(page.limit));
    let last = all.last().filter(|_| has_more);
    Listed {
        next: last.map(|last| id(last).into()),
        items: all,
    }
}

fn is(pairing: &Pairing, code: Code) -> bool {
    match code {
        Code::Long(code) => pairing.code == code,
        Code::Manual(code) => pairing.manual_code == Some(code),
    }
}

impl HostBook for MemoryBook {
    fn add_host(&self, host: Host, most: u32) -> Answer<Result<(), NotAdded>> {
        self.ask(|pages| {
            let own = pages.hosts.iter().filter(|it| it.account == host.account);
            if own.clone().any(|it| it.name == host.name) {
                return Err(NotAdded::NameTaken);
            }
            if own.count() >= most as usize {
                return Err(NotAdded::TooMany);
            }
            pages.hosts.push(host);
            Ok(())
        })
    }

    fn find_host(&self, id: &str) -> Answer<Option<Host>> {
        self.find(|host| &*host.id == id)
    }

    fn find_host_of_environment(&self, environment: &str) -> Answer<Option<Host>> {
        self.find(|host| &*host.environment == environment)
    }

    fn find_host_named(&self, account: &str, name: &str) -> Answer<Option<Host>> {
        self.find(|host| &*host.account == account && &*host.name == name)
    }

    fn find_host_by_token(&self, token: SecretDigest) -> Answer<Option<Host>> {
        self.find(|host| host.token == Some(token))
    }

    fn hosts_of(&self, account: &str) -> Answer<Vec<Host>> {
        self.ask(|pages| {
            let own = pages.hosts.iter().filter(|host| &*host.account == account);
            own.cloned().collect()
        })
    }

    fn list_hosts(&self, account: Option<&str>, asked: Page) -> Answer<Listed<Host>> {
        self.ask(|pages| {
            let is_own = |host: &&Host| account.is_none_or(|it| &*host.account == it);
            let own: Vec<Host> = pages.hosts.iter().filter(is_own).cloned().collect();
            page(&own, &asked, |host| &host.id)
        })
    }

    fn issue_token(
        &self,
        id: &str,
        token: SecretDigest,
        expires_at: Timestamp,
        platform: Option<Platform>,
    ) -> Answer<bool> {
        self.ask(|pages| {
            let Some(host) = pages.host(id).filter(|it| it.revoked_at.is_none()) else {
                return false;
            };
            host.token = Some(token);
            host.token_expires_at = Some(expires_at);
            if let Some(platform) = platform {
                host.platform = platform;
            }
            true
        })
    }

    fn note_host(&self, id: &str, at: Timestamp) -> Answer<()> {
        self.ask(|pages| {
            if let Some(host) = pages.host(id) {
                host.seen_at = Some(at);
            }
        })
    }

    fn rename_host(&self, id: &str, name: &str) -> Answer<Renamed> {
        self.ask(|pages| {
            let Some(account) = pages.host(id).map(|host| host.account.clone()) else {
                return Renamed::Unknown;
            };
            let is_taken =
                |host: &Host| host.account == account && &*host.name == name && &*host.id != id;
            if pages.hosts.iter().any(is_taken) {
                return Renamed::NameTaken;
            }
            if let Some(host) = pages.host(id) {
                host.name = name.into();
            }
            Renamed::Done
        })
    }

    fn revoke_host(&self, id: &str, now: Timestamp) -> Answer<bool> {
        self.ask(|pages| {
            let Some(host) = pages.host(id) else {
                return false;
            };
            host.token = None;
            host.revoked_at.get_or_insert(now);
            pages.pairings.retain(|(pairing, _)| &*pairing.host != id);
            true
        })
    }

    fn remove_host(&self, id: &str) -> Answer<bool> {
        self.ask(|pages| {
            let before = pages.hosts.len();
            pages.hosts.retain(|host| &*host.id != id);
            pages.devices.retain(|device| &*device.host != id);
            pages.pairings.retain(|(pairing, _)| &*pairing.host != id);
            pages.hosts.len() < before
        })
    }

    fn start_pairing(&self, pairing: Pairing, most: u32, now: Timestamp) -> Answer<bool> {
        self.ask(|pages| {
            let own = pages.pairings.iter().filter(|(it, is_claimed)| {
                it.host == pairing.host && it.expires_at > now && !is_claimed
            });
            if own.count() >= most as usize {
                return false;
            }
            pages.pairings.push((pairing, false));
            true
        })
    }

    fn is_claimed(&self, host: &str, code: Code, now: Timestamp) -> Answer<Option<bool>> {
        self.ask(|pages| {
            let mut own = pages.pairings.iter();
            let found =
                own.find(|(it, _)| &*it.host == host && is(it, code) && it.expires_at > now);
            found.map(|(_, is_claimed)| *is_claimed)
        })
    }

    fn claim(&self, code: Code, mut device: Device, now: Timestamp) -> Answer<Option<Device>> {
        let held = self.0.lock().expect("no panic").held.clone();
        let answer = self.ask(move |pages| {
            let mut pairings = pages.pairings.iter_mut();
            let found = pairings
                .find(|(it, is_claimed)| is(it, code) && it.expires_at > now && !is_claimed);
            let (pairing, is_claimed) = found?;
            *is_claimed = true;
            device.host = pairing.host.clone();
            let mut devices = pages.devices.iter_mut();
            let before = devices.find(|it| it.host == device.host && it.account == device.account);
            if let Some(before) = before {
                before.about = device.about;
                return Some(before.clone());
            }
            pages.devices.push(device.clone());
            Some(device)
        });
        Box::pin(async {
            if let Some(mut held) = held {
                // Whoever holds it may have gone.
                let _: Result<_, watch::error::RecvError> = held.wait_for(|is_free| *is_free).await;
            }
            answer.await
        })
    }

    fn list_devices(&self, host: &str, asked: Page) -> Answer<Listed<Device>> {
        self.ask(|pages| {
            let own = pages.devices.iter().filter(|device| &*device.host == host);
            let own: Vec<Device> = own.cloned().collect();
            page(&own, &asked, |device| &device.id)
        })
    }

    fn find_device(&self, host: &str, account: &str) -> Answer<Option<Device>> {
        self.ask(|pages| {
            let mut devices = pages.devices.iter();
            let found = devices.find(|it| &*it.host == host && &*it.account == account);
            found.cloned()
        })
    }

    fn note_device(&self, id: &str, at: Timestamp) -> Answer<()> {
        self.ask(|pages| {
            let mut devices = pages.devices.iter_mut();
            if let Some(device) = devices.find(|device| &*device.id == id) {
                device.seen_at = Some(at);
            }
        })
    }

    fn remove_device(&self, host: &str, id: &str) -> Answer<bool> {
        self.ask(|pages| {
            let before = pages.devices.len();
            pages
                .devices
                .retain(|device| &*device.host != host || &*device.id != id);
            pages.devices.len() < before
        })
    }
}
