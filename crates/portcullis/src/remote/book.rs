//! What the relay remembers, in the ledger.

use std::fmt;
use std::sync::Arc;

use portcullis_boundary::clock::Timestamp;
use portcullis_ledger as ledger;
use portcullis_ledger::{Ledger, LedgerError, SecretHash};
use portcullis_remote::relay::{
    About, Answer, BookError, Code, Device, Host, HostBook, Listed, NotAdded, Page, Pairing,
    Platform, Renamed, SecretDigest,
};

/// The hosts of a ledger.
pub(super) struct LedgerBook(Arc<dyn Ledger>);

impl LedgerBook {
    pub(super) fn new(ledger: Arc<dyn Ledger>) -> Self {
        Self(ledger)
    }
}

impl fmt::Debug for LedgerBook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LedgerBook")
    }
}

/// What the relay is answered of what the ledger answers.
fn answer<T: 'static, U>(
    asked: ledger::Answer<T>,
    read: impl FnOnce(T) -> U + Send + 'static,
) -> Answer<U> {
    Box::pin(async move { asked.await.map(read).map_err(|error| unavailable(&error)) })
}

fn unavailable(error: &LedgerError) -> BookError {
    match error {
        LedgerError::Invalid { .. } => BookError::Invalid(error.to_string().into()),
        _ => BookError::new(error.to_string()),
    }
}

/// What cannot be asked.
fn refused<T: Send + 'static>(error: &LedgerError) -> Answer<T> {
    Box::pin(std::future::ready(Err(unavailable(error))))
}

impl HostBook for LedgerBook {
    fn add_host(&self, host: Host, most: u32) -> Answer<Result<(), NotAdded>> {
        let added = self.0.add_host(kept(host), most);
        Box::pin(async move {
            match added.await.map_err(|error| unavailable(&error))? {
                ledger::HostChange::Done => Ok(Ok(())),
                ledger::HostChange::NameTaken => Ok(Err(NotAdded::NameTaken)),
                ledger::HostChange::TooMany => Ok(Err(NotAdded::TooMany)),
                ledger::HostChange::Unknown => Err(BookError::new("a new host is unknown")),
            }
        })
    }

    fn find_host(&self, id: &str) -> Answer<Option<Host>> {
        answer(self.0.find_host(id), |host| host.map(found))
    }

    fn find_host_of_environment(&self, environment: &str) -> Answer<Option<Host>> {
        let asked = self.0.find_host_of_environment(environment);
        answer(asked, |host| host.map(found))
    }

    fn find_host_named(&self, account: &str, name: &str) -> Answer<Option<Host>> {
        answer(self.0.find_host_named(account, name), |host| {
            host.map(found)
        })
    }

    fn find_host_by_token(&self, token: SecretDigest) -> Answer<Option<Host>> {
        answer(self.0.find_host_by_token(hash(token)), |host| {
            host.map(found)
        })
    }

    fn hosts_of(&self, account: &str) -> Answer<Vec<Host>> {
        let all = |hosts: Vec<ledger::Host>| hosts.into_iter().map(found).collect();
        answer(self.0.hosts_of(account), all)
    }

    fn list_hosts(&self, account: Option<&str>, page: Page) -> Answer<Listed<Host>> {
        // Nobody reads hosts from the last to the first.
        match part(page) {
            Ok(page) => answer(self.0.list_hosts(account, page), |all| listed(all, found)),
            Err(error) => refused(&error),
        }
    }

    fn issue_token(
        &self,
        id: &str,
        token: SecretDigest,
        expires_at: Timestamp,
        platform: Option<Platform>,
    ) -> Answer<bool> {
        let token = ledger::HostToken {
            hash: hash(token),
            expires_at,
            platform: platform.map(|it| (it.os, it.arch, it.version)),
        };
        answer(self.0.issue_host_token(id, token), |is_there| is_there)
    }

    fn note_host(&self, id: &str, at: Timestamp) -> Answer<()> {
        answer(self.0.note_host(id, at), |()| ())
    }

    fn rename_host(&self, id: &str, name: &str) -> Answer<Renamed> {
        let renamed = self.0.rename_host(id, name);
        Box::pin(async move {
            match renamed.await.map_err(|error| unavailable(&error))? {
                ledger::HostChange::Done => Ok(Renamed::Done),
                ledger::HostChange::NameTaken => Ok(Renamed::NameTaken),
                ledger::HostChange::Unknown => Ok(Renamed::Unknown),
                ledger::HostChange::TooMany => Err(BookError::new("a renamed host is too many")),
            }
        })
    }

    fn revoke_host(&self, id: &str, now: Timestamp) -> Answer<bool> {
        answer(self.0.revoke_host(id, now), |is_there| is_there)
    }

    fn remove_host(&self, id: &str) -> Answer<bool> {
        answer(self.0.remove_host(id), |was_there| was_there)
    }

    fn start_pairing(&self, pairing: Pairing, most: u32, now: Timestamp) -> Answer<bool> {
        let pairing = ledger::Pairing {
            code: hash(pairing.code),
            manual_code: pairing.manual_code.map(hash),
            host: pairing.host,
            created_at: pairing.created_at,
            expires_at: pairing.expires_at,
        };
        let started = self.0.start_pairing(pairing, most, now);
        answer(started, |started| started.is_ok())
    }

    fn is_claimed(&self, host: &str, code: Code, now: Timestamp) -> Answer<Option<bool>> {
        answer(self.0.is_claimed(host, pairing_code(code), now), |is| is)
    }

    fn claim(&self, code: Code, device: Device, now: Timestamp) -> Answer<Option<Device>> {
        let device = ledger::Device {
            id: device.id,
            host: device.host,
            account: device.account,
            about: ledger::DeviceAbout {
                display_name: device.about.display_name,
                device_type: device.about.device_type,
                platform: device.about.platform,
                os_version: device.about.os_version,
                device_model: device.about.device_model,
                app_version: device.about.app_version,
            },
            paired_at: device.paired_at,
            seen_at: device.seen_at,
        };
        let claimed = self.0.claim_pairing(pairing_code(code), device, now);
        answer(claimed, |device| device.map(found_device))
    }

    fn list_devices(&self, host: &str, page: Page) -> Answer<Listed<Device>> {
        let is_descending = page.is_descending;
        match part(page) {
            Ok(page) => {
                let all = self.0.list_devices(host, page, is_descending);
                answer(all, |all| listed(all, found_device))
            }
            Err(error) => refused(&error),
        }
    }

    fn find_device(&self, host: &str, account: &str) -> Answer<Option<Device>> {
        let found = self.0.find_device(host, account);
        answer(found, |device| device.map(found_device))
    }

    fn note_device(&self, id: &str, at: Timestamp) -> Answer<()> {
        answer(self.0.note_device(id, at), |()| ())
    }

    fn remove_device(&self, host: &str, id: &str) -> Answer<bool> {
        answer(self.0.remove_device(host, id), |was_there| was_there)
    }
}

fn part(page: Page) -> Result<ledger::Page, LedgerError> {
    let part = ledger::Page::first(page.limit)?;
    Ok(match page.after {
        Some(cursor) => part.after(cursor),
        None => part,
    })
}

fn listed<T, U>(all: ledger::Listed<T>, read: impl Fn(T) -> U) -> Listed<U> {
    Listed {
        items: all.items.into_iter().map(read).collect(),
        next: all.next,
    }
}

const fn hash(digest: SecretDigest) -> SecretHash {
    SecretHash::from_bytes(*digest.as_bytes())
}

const fn pairing_code(code: Code) -> ledger::PairingCode {
    match code {
        Code::Long(digest) => ledger::PairingCode::Long(hash(digest)),
        Code::Manual(digest) => ledger::PairingCode::Manual(hash(digest)),
    }
}

fn kept(host: Host) -> ledger::Host {
    ledger::Host {
        id: host.id,
        environment: host.environment,
        account: host.account,
        name: host.name,
        installation: host.installation,
        os: host.platform.os,
        arch: host.platform.arch,
        version: host.platform.version,
        token: host.token.map(hash),
        token_expires_at: host.token_expires_at,
        enrolled_at: host.enrolled_at,
        seen_at: host.seen_at,
        revoked_at: host.revoked_at,
    }
}

fn found(host: ledger::Host) -> Host {
    Host {
        id: host.id,
        environment: host.environment,
        account: host.account,
        name: host.name,
        installation: host.installation,
        platform: Platform {
            os: host.os,
            arch: host.arch,
            version: host.version,
        },
        token: host
            .token
            .map(|token| SecretDigest::from_bytes(*token.as_bytes())),
        token_expires_at: host.token_expires_at,
        enrolled_at: host.enrolled_at,
        seen_at: host.seen_at,
        revoked_at: host.revoked_at,
    }
}

fn found_device(device: ledger::Device) -> Device {
    Device {
        id: device.id,
        host: device.host,
        account: device.account,
        about: About {
            display_name: device.about.display_name,
            device_type: device.about.device_type,
            platform: device.about.platform,
            os_version: device.about.os_version,
            device_model: device.about.device_model,
            app_version: device.about.app_version,
        },
        paired_at: device.paired_at,
        seen_at: device.seen_at,
    }
}

#[cfg(test)]
mod tests {
    use portcullis_ledger::SqlLedger;
    use tokio::runtime::Handle;

    use super::*;
    use crate::config::LedgerPlan;

    #[tokio::test]
    async fn what_the_relay_keeps_comes_back_as_it_was() {
        let book = book().await;
        let host = host("srv_1", "vm");
        assert_eq!(book.add_host(host.clone(), 2).await, Ok(Ok(())));
        let taken = Host {
            environment: "env_2".into(),
            ..self::host("srv_2", "vm")
        };
        assert_eq!(book.add_host(taken, 2).await, Ok(Err(NotAdded::NameTaken)));
        assert_eq!(book.find_host("srv_1").await, Ok(Some(host.clone())));
        let token = SecretDigest::of("token");
        let expires_at = Timestamp::from_secs(3600);
        let platform = Platform {
            version: "2".into(),
            ..host.platform.clone()
        };
        let issued = book.issue_token("srv_1", token, expires_at, Some(platform.clone()));
        assert_eq!(issued.await, Ok(true));
        let found = book.find_host_by_token(token).await.expect("a ledger");
        let expected = Host {
            platform,
            token: Some(token),
            token_expires_at: Some(expires_at),
            ..host
        };
        assert_eq!(found, Some(expected));
    }

    #[tokio::test]
    async fn a_code_is_claimed_once_and_by_the_name_that_it_has() {
        let book = book().await;
        let added = book.add_host(host("srv_1", "vm"), 1).await;
        assert_eq!(added, Ok(Ok(())));
        let (now, expires_at) = (Timestamp::from_secs(1), Timestamp::from_secs(60));
        let (code, manual) = (SecretDigest::of("code"), SecretDigest::of("manual"));
        let pairing = Pairing {
            code,
            manual_code: Some(manual),
            host: "srv_1".into(),
            created_at: now,
            expires_at,
        };
        assert_eq!(book.start_pairing(pairing.clone(), 1, now).await, Ok(true));
        let second = Pairing {
            code: SecretDigest::of("another"),
            manual_code: None,
            ..pairing
        };
        assert_eq!(book.start_pairing(second, 1, now).await, Ok(false));
        let device = Device {
            id: "cli_1".into(),
            host: Box::default(),
            account: "bob".into(),
            about: About {
                display_name: Some("phone".into()),
                ..About::default()
            },
            paired_at: now,
            seen_at: None,
        };
        let as_long = book.claim(Code::Long(manual), device.clone(), now);
        assert_eq!(as_long.await, Ok(None), "the other code has that name");
        let paired = Device {
            host: "srv_1".into(),
            ..device.clone()
        };
        let claimed = book.claim(Code::Manual(manual), device.clone(), now);
        assert_eq!(claimed.await, Ok(Some(paired.clone())));
        assert_eq!(book.claim(Code::Long(code), device, now).await, Ok(None));
        assert_eq!(book.find_device("srv_1", "bob").await, Ok(Some(paired)));
    }

    #[tokio::test]
    async fn an_account_that_no_ledger_keeps_is_no_host() {
        let book = book().await;
        let long = Host {
            account: "a".repeat(2000).into(),
            ..host("srv_1", "vm")
        };
        assert!(book.add_host(long, 1).await.is_err());
    }

    async fn book() -> LedgerBook {
        let url = LedgerPlan::in_memory().url;
        let settings = portcullis_ledger::Settings::default();
        let ledger = SqlLedger::open(url, settings, &Handle::current()).await;
        LedgerBook::new(Arc::new(ledger.expect("a ledger")))
    }

    fn host(id: &str, name: &str) -> Host {
        Host {
            id: id.into(),
            environment: "env_1".into(),
            account: "https://id.example#ada".into(),
            name: name.into(),
            installation: Some("i1".into()),
            platform: Platform {
                os: "linux".into(),
                arch: "x86_64".into(),
                version: "1".into(),
            },
            token: None,
            token_expires_at: None,
            enrolled_at: Timestamp::from_secs(1),
            seen_at: None,
            revoked_at: None,
        }
    }
}
