//! What a relay must remember: hosts, pairings, and the devices that were paired.

use std::pin::Pin;

use portcullis_boundary::clock::Timestamp;

use super::SecretDigest;

/// What a book answers, sooner or later. It borrows nothing. Nothing happens before it is polled; once it
/// was, a change may be made even when it is dropped.
pub type Answer<T> = Pin<Box<dyn Future<Output = Result<T, BookError>> + Send>>;

/// Why a book does not answer. The relay refuses then.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[expect(clippy::exhaustive_enums, reason = "each must be acted on")]
pub enum BookError {
    /// It does not answer. The reason is for operators, and holds no secret.
    #[error("the book of hosts is unavailable: {0}")]
    Unavailable(Box<str>),
    /// The asker's: no book keeps such a text. What is wrong with it, for the asker.
    #[error("{0}")]
    Invalid(Box<str>),
}

impl BookError {
    /// It does not answer because of `reason`, which is for operators and holds no secret.
    pub fn new(reason: impl Into<Box<str>>) -> Self {
        Self::Unavailable(reason.into())
    }
}

/// A machine that dials.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(
    clippy::exhaustive_structs,
    reason = "a record; who makes one says all of it"
)]
pub struct Host {
    /// Its id (`server_id`), unique.
    pub id: Box<str>,
    /// The name under which its clients are managed (`environment_id`), unique.
    pub environment: Box<str>,
    /// Whose it is.
    pub account: Box<str>,
    /// What people call it, unique within the account.
    pub name: Box<str>,
    /// The installation that enrolled it. Hosts of old have none.
    pub installation: Option<Box<str>>,
    /// What it runs on, in its own words.
    pub platform: Platform,
    /// The digest of its server token, once it has one.
    pub token: Option<SecretDigest>,
    /// From when on the token does not count.
    pub token_expires_at: Option<Timestamp>,
    /// When it was enrolled.
    pub enrolled_at: Timestamp,
    /// About when its road was seen last.
    pub seen_at: Option<Timestamp>,
    /// When it was taken back.
    pub revoked_at: Option<Timestamp>,
}

/// What a host runs on, in its own words.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "complete: what a host says")]
pub struct Platform {
    /// The operating system.
    pub os: Box<str>,
    /// The processor.
    pub arch: Box<str>,
    /// The version of its program.
    pub version: Box<str>,
}

/// A pairing that has begun: who shows its code becomes a device of the host.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(
    clippy::exhaustive_structs,
    reason = "a record; who makes one says all of it"
)]
pub struct Pairing {
    /// The digest of its code, unique.
    pub code: SecretDigest,
    /// The digest of the code that people type, if there is one.
    pub manual_code: Option<SecretDigest>,
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
pub enum Code {
    /// [`Pairing::code`].
    Long(SecretDigest),
    /// [`Pairing::manual_code`].
    Manual(SecretDigest),
}

/// Somebody who may reach a host that belongs to somebody else, because they were paired.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(
    clippy::exhaustive_structs,
    reason = "a record; who makes one says all of it"
)]
pub struct Device {
    /// Its id (`client_id`), unique.
    pub id: Box<str>,
    /// The host that it may reach.
    pub host: Box<str>,
    /// Who it is.
    pub account: Box<str>,
    /// What it says of itself.
    pub about: About,
    /// When it was paired.
    pub paired_at: Timestamp,
    /// About when it was seen last.
    pub seen_at: Option<Timestamp>,
}

/// What a device says of itself.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "complete: what a device says")]
pub struct About {
    /// What people call it.
    pub display_name: Option<Box<str>>,
    /// Such as `phone`.
    pub device_type: Option<Box<str>>,
    /// Such as `ios`.
    pub platform: Option<Box<str>>,
    /// The version of that.
    pub os_version: Option<Box<str>>,
    /// Who made it, and what it is.
    pub device_model: Option<Box<str>>,
    /// The version of its program.
    pub app_version: Option<Box<str>>,
}

/// Which part of a list is asked for.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(
    clippy::exhaustive_structs,
    reason = "complete: where, how many, which way"
)]
pub struct Page {
    /// The cursor of the page before.
    pub after: Option<Box<str>>,
    /// The most entries, from 1 to 1000.
    pub limit: u16,
    /// From the last to the first.
    pub is_descending: bool,
}

/// A page of a list.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(
    clippy::exhaustive_structs,
    reason = "complete: the entries and where to go on"
)]
pub struct Listed<T> {
    /// The entries, by id.
    pub items: Vec<T>,
    /// The cursor for [`Page::after`]; none on the last page.
    pub next: Option<Box<str>>,
}

/// Why a host is not added.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "each must be acted on")]
pub enum NotAdded {
    /// The account has a host of that name.
    NameTaken,
    /// The account has as many hosts as it may.
    TooMany,
}

/// What came of a change of name.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "each must be told")]
pub enum Renamed {
    /// It has the name.
    Done,
    /// The account has another host of that name.
    NameTaken,
    /// There is no such host.
    Unknown,
}

/// Remembers hosts, pairings and devices.
///
/// # What a wrong answer does
///
/// A book that finds a host by a token that was replaced or taken back opens a road for a thief, who then
/// hears what guests say. One that forgets [`Host::revoked_at`] lets a revoked machine enrol again. One
/// that answers [`HostBook::claim`] twice for one code pairs an eavesdropper. When in doubt, answer
/// [`BookError`].
pub trait HostBook: Send + Sync {
    /// Adds a host, unless its account has `most`, revoked ones included.
    fn add_host(&self, host: Host, most: u32) -> Answer<Result<(), NotAdded>>;

    /// The host with this id, revoked or not.
    fn find_host(&self, id: &str) -> Answer<Option<Host>>;

    /// The host with this environment, revoked or not.
    fn find_host_of_environment(&self, environment: &str) -> Answer<Option<Host>>;

    /// The host of the account that is called so, revoked or not.
    fn find_host_named(&self, account: &str, name: &str) -> Answer<Option<Host>>;

    /// The host whose token has this digest, expired or not.
    fn find_host_by_token(&self, token: SecretDigest) -> Answer<Option<Host>>;

    /// All hosts of an account, by name; at most as many as it may have.
    fn hosts_of(&self, account: &str) -> Answer<Vec<Host>>;

    /// Hosts by id; only those of `account`, when given.
    fn list_hosts(&self, account: Option<&str>, page: Page) -> Answer<Listed<Host>>;

    /// Gives a host another token, in whose place the one before does not count any more, and notes its
    /// platform when there is one. The answer is whether there is such a host that is not revoked.
    fn issue_token(
        &self,
        id: &str,
        token: SecretDigest,
        expires_at: Timestamp,
        platform: Option<Platform>,
    ) -> Answer<bool>;

    /// Notes that a host's road was seen.
    fn note_host(&self, id: &str, at: Timestamp) -> Answer<()>;

    /// Gives a host another name.
    fn rename_host(&self, id: &str, name: &str) -> Answer<Renamed>;

    /// Takes a host back, its token and pairings with it. The answer is whether there is such a host; the
    /// first time counts.
    fn revoke_host(&self, id: &str, now: Timestamp) -> Answer<bool>;

    /// Forgets a host and all that belongs to it; the answer is whether there was one. It may enrol again.
    fn remove_host(&self, id: &str) -> Answer<bool>;

    /// Remembers a pairing; the answer is whether it does, as its host may have `most` that count at `now`.
    fn start_pairing(&self, pairing: Pairing, most: u32, now: Timestamp) -> Answer<bool>;

    /// Whether a pairing of `host` was claimed; none when the code does not count, or never did.
    fn is_claimed(&self, host: &str, code: Code, now: Timestamp) -> Answer<Option<bool>>;

    /// Claims a pairing for `device`, whose `host` is filled in, and answers with it; none when the code
    /// does not count at `now`, was claimed before, or its host was revoked. A device of that host and
    /// account that is there already keeps its id.
    fn claim(&self, code: Code, device: Device, now: Timestamp) -> Answer<Option<Device>>;

    /// The devices of a host by id.
    fn list_devices(&self, host: &str, page: Page) -> Answer<Listed<Device>>;

    /// The device of a host that this account has.
    fn find_device(&self, host: &str, account: &str) -> Answer<Option<Device>>;

    /// Notes that a device was seen.
    fn note_device(&self, id: &str, at: Timestamp) -> Answer<()>;

    /// Takes a device back; the answer is whether there was one.
    fn remove_device(&self, host: &str, id: &str) -> Answer<bool>;
}
