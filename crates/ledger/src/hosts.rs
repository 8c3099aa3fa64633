//! Machines that dial, and the devices that were paired to them.

use portcullis_boundary::clock::Timestamp;

use crate::page::{Listed, Page};
use crate::secret::SecretHash;
use crate::tickets::TooMany;
use crate::{Answer, LedgerError, text};

/// A machine that dials.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(
    clippy::exhaustive_structs,
    reason = "a row; who makes one says all of it"
)]
pub struct Host {
    /// Its id, unique.
    pub id: Box<str>,
    /// The name under which its devices are managed, unique.
    pub environment: Box<str>,
    /// Whose it is.
    pub account: Box<str>,
    /// What people call it, unique within the account.
    pub name: Box<str>,
    /// The installation that enrolled it.
    pub installation: Option<Box<str>>,
    /// Its operating system.
    pub os: Box<str>,
    /// Its processor.
    pub arch: Box<str>,
    /// The version of its program.
    pub version: Box<str>,
    /// The digest of its server token, unique.
    pub token: Option<SecretHash>,
    /// From when on the token does not count.
    pub token_expires_at: Option<Timestamp>,
    /// When it was enrolled.
    pub enrolled_at: Timestamp,
    /// About when it was seen last.
    pub seen_at: Option<Timestamp>,
    /// When it was taken back.
    pub revoked_at: Option<Timestamp>,
}

impl Host {
    pub(crate) fn check(&self) -> Result<(), LedgerError> {
        text::name("a host's id", &self.id)?;
        text::name("a host's environment", &self.environment)?;
        text::name("a host's account", &self.account)?;
        text::name("a host's name", &self.name)?;
        text::optional("a host's installation", self.installation.as_deref())?;
        for said in [&self.os, &self.arch, &self.version] {
            text::optional("what a host says of itself", Some(said))?;
        }
        Ok(())
    }
}

/// A server token that takes the place of the one before.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(
    clippy::exhaustive_structs,
    reason = "a change; who makes one says all of it"
)]
pub struct HostToken {
    /// Its digest.
    pub hash: SecretHash,
    /// From when on it does not count.
    pub expires_at: Timestamp,
    /// What the host says that it runs now, as [`Host::os`], [`Host::arch`] and [`Host::version`]; none
    /// when it said nothing.
    pub platform: Option<(Box<str>, Box<str>, Box<str>)>,
}

/// A pairing that has begun: who shows its code becomes a device of the host.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(
    clippy::exhaustive_structs,
    reason = "a row; who makes one says all of it"
)]
pub struct Pairing {
    /// The digest of its code, unique.
    pub code: SecretHash,
    /// The digest of the code that people type.
    pub manual_code: Option<SecretHash>,
    /// The host.
    pub host: Box<str>,
    /// When it began.
    pub created_at: Timestamp,
    /// From when on it does not count.
    pub expires_at: Timestamp,
}

/// The code of a pairing, by either of its names.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "each is a query of its own")]
pub enum PairingCode {
    /// [`Pairing::code`].
    Long(SecretHash),
    /// [`Pairing::manual_code`].
    Manual(SecretHash),
}

/// Somebody who may reach a host of another account.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(
    clippy::exhaustive_structs,
    reason = "a row; who makes one says all of it"
)]
pub struct Device {
    /// Its id, unique.
    pub id: Box<str>,
    /// The host.
    pub host: Box<str>,
    /// Who it is. A host has one device of an account.
    pub account: Box<str>,
    /// What it says of itself.
    pub about: DeviceAbout,
    /// When it was paired.
    pub paired_at: Timestamp,
    /// About when it was seen last.
    pub seen_at: Option<Timestamp>,
}

/// What a device says of itself.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[expect(
    clippy::exhaustive_structs,
    reason = "a row; who makes one says all of it"
)]
pub struct DeviceAbout {
    /// What people call it.
    pub display_name: Option<Box<str>>,
    /// Such as `phone`.
    pub device_type: Option<Box<str>>,
    /// Such as `ios`.
    pub platform: Option<Box<str>>,
    /// The version of that.
    pub os_version: Option<Box<str>>,
    /// What it is.
    pub device_model: Option<Box<str>>,
    /// The version of its program.
    pub app_version: Option<Box<str>>,
}

impl Device {
    pub(crate) fn check(&self) -> Result<(), LedgerError> {
        text::name("a device's id", &self.id)?;
        text::name("a device's account", &self.account)?;
        let about = &self.about;
        for said in [
            &about.display_name,
            &about.device_type,
            &about.platform,
            &about.os_version,
            &about.device_model,
            &about.app_version,
        ] {
            text::optional("what a device says of itself", said.as_deref())?;
        }
        Ok(())
    }
}

/// What came of adding a host, or of a change of its name.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "each must be told")]
pub enum HostChange {
    /// It is so.
    Done,
    /// The account has another host of that name.
    NameTaken,
    /// The account has as many hosts as it may.
    TooMany,
    /// There is no such host.
    Unknown,
}

/// The hosts of a ledger, with their pairings and devices.
///
/// A host that was revoked, and a token that expired, are still found: whoever asks must look.
pub trait Hosts {
    /// Adds a host, unless its account has `most` or one of that name, revoked ones included.
    fn add_host(&self, host: Host, most: u32) -> Answer<HostChange>;

    /// The host with this id.
    fn find_host(&self, id: &str) -> Answer<Option<Host>>;

    /// The host with this environment.
    fn find_host_of_environment(&self, environment: &str) -> Answer<Option<Host>>;

    /// The host of an account with this name.
    fn find_host_named(&self, account: &str, name: &str) -> Answer<Option<Host>>;

    /// The host with this token.
    fn find_host_by_token(&self, token: SecretHash) -> Answer<Option<Host>>;

    /// Up to 1000 hosts of an account, by name.
    fn hosts_of(&self, account: &str) -> Answer<Vec<Host>>;

    /// Hosts by id; only of `account`, when given.
    fn list_hosts(&self, account: Option<&str>, page: Page) -> Answer<Listed<Host>>;

    /// Gives a host a token; the answer is whether there is such a host that was not revoked.
    fn issue_host_token(&self, id: &str, token: HostToken) -> Answer<bool>;

    /// Notes that a host was seen. An earlier time changes nothing.
    fn note_host(&self, id: &str, at: Timestamp) -> Answer<()>;

    /// Gives a host another name.
    fn rename_host(&self, id: &str, name: &str) -> Answer<HostChange>;

    /// Takes a host back, with its token and its pairings; the answer is whether there is such a host. The
    /// first time counts.
    fn revoke_host(&self, id: &str, now: Timestamp) -> Answer<bool>;

    /// Removes a host with its pairings and devices; the answer is whether there was one.
    fn remove_host(&self, id: &str) -> Answer<bool>;

    /// Keeps a pairing, unless its host has `most` that count and were not claimed.
    fn start_pairing(
        &self,
        pairing: Pairing,
        most: u32,
        now: Timestamp,
    ) -> Answer<Result<(), TooMany>>;

    /// Whether a live pairing of `host` was claimed; none when there is no such pairing.
    fn is_claimed(&self, host: &str, code: PairingCode, now: Timestamp) -> Answer<Option<bool>>;

    /// Claims a live pairing for `device`, of which [`Device::host`] is not looked at, and answers with it.
    /// One asker gets it. A device of that host and account that is there keeps its id and its times.
    fn claim_pairing(
        &self,
        code: PairingCode,
        device: Device,
        now: Timestamp,
    ) -> Answer<Option<Device>>;

    /// The devices of a host by id, or from the last to the first.
    fn list_devices(&self, host: &str, page: Page, is_descending: bool) -> Answer<Listed<Device>>;

    /// The device of a host that an account has.
    fn find_device(&self, host: &str, account: &str) -> Answer<Option<Device>>;

    /// Notes that a device was seen. An earlier time changes nothing.
    fn note_device(&self, id: &str, at: Timestamp) -> Answer<()>;

    /// Removes a device of a host; the answer is whether there was one.
    fn remove_device(&self, host: &str, id: &str) -> Answer<bool>;
}
