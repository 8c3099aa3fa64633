//! Close codes: what the server sends and what a client should make of it.
//!
//! One table serves both ends. The server maps a refusal to a code through a [`CodeTable`]; a
//! client maps a code to a [`Recovery`] with [`CodeTable::recovery`], by code where it is known and
//! by range where it is not, so that codes which are invented later degrade sensibly.

#![deny(clippy::wildcard_enum_match_arm)]

use std::fmt;

use serde::Serialize;

use crate::refusal::RefusalKind;

/// What a refused client should do.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
#[expect(clippy::exhaustive_enums, reason = "clients match on all four")]
pub enum Recovery {
    /// Get a fresh credential without the person's help, and come back once.
    Refresh,
    /// Ask the person to log in again.
    Login,
    /// Come back later with the same credential, with backoff.
    Retry,
    /// Stay away: coming back will not help.
    Stop,
}

impl Recovery {
    /// The word that stands for it in JSON, logs and tables.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Refresh => "refresh",
            Self::Login => "login",
            Self::Retry => "retry",
            Self::Stop => "stop",
        }
    }
}

impl fmt::Display for Recovery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A close code that may go over the wire: 1000-1003, 1007-1014 or 3000-4999 (RFC 6455, 7.4).
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(transparent)]
pub struct CloseCode(u16);

impl CloseCode {
    /// The purpose of the connection has been fulfilled.
    pub const NORMAL: Self = Self(1000);
    /// An endpoint goes away.
    pub const GOING_AWAY: Self = Self(1001);
    /// An endpoint broke the protocol.
    pub const PROTOCOL_ERROR: Self = Self(1002);
    /// A policy was violated.
    pub const POLICY: Self = Self(1008);
    /// A message is too big.
    pub const TOO_BIG: Self = Self(1009);
    /// The server met an unexpected condition.
    pub const INTERNAL: Self = Self(1011);
    /// The service restarts.
    pub const RESTART: Self = Self(1012);
    /// Try again later.
    pub const TRY_AGAIN: Self = Self(1013);
    /// A gateway got an invalid answer, or none, from its upstream.
    pub const BAD_GATEWAY: Self = Self(1014);

    /// The code `code`, when it may be sent.
    ///
    /// # Errors
    ///
    /// [`UnsendableCode`] for 1004-1006 and 1015, which never go over the wire, for what is
    /// unassigned below 3000, and for 5000 and above.
    pub const fn new(code: u16) -> Result<Self, UnsendableCode> {
        match code {
            1000..=1003 | 1007..=1014 | 3000..=4999 => Ok(Self(code)),
            _ => Err(UnsendableCode(code)),
        }
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u16 {
        self.0
    }

    const fn private(code: u16) -> Self {
        assert!(code >= 3000 && code <= 4999, "a code for applications");
        Self(code)
    }
}

impl fmt::Display for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A code that must not be sent in a close frame.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("close code {0} cannot be sent; use 1000-1003, 1007-1014 or 3000-4999")]
pub struct UnsendableCode(u16);

/// The most bytes of UTF-8 that a close frame's reason can hold (RFC 6455, 5.5).
pub const MAX_REASON: usize = 123;

/// `text`, cut to [`MAX_REASON`] bytes on a character boundary.
#[must_use]
pub fn cut_reason(text: &str) -> &str {
    let mut end = text.len().min(MAX_REASON);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default()
}

/// A named assignment of close codes to refusals.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
#[expect(
    clippy::exhaustive_enums,
    reason = "a new preset must be considered by every table"
)]
pub enum Preset {
    /// The codes of the refusal table.
    #[default]
    Default,
    /// The default codes with the plain-text HTTP answers of `codex app-server`.
    AppServer,
    /// The client of BasedHardware/omi: a key set that cannot be fetched is 4001 too.
    Omi,
    /// frankbria/codeframe's terminal: 4001, 4003, 4004, 4029.
    CodeframeTerminal,
    /// frankbria/codeframe's chat: 1008 for whatever concerns authentication.
    CodeframeChat,
    /// `graphql-transport-ws`: 4401, 4403, 4429.
    GraphqlWs,
    /// The codes registered with IANA: 3000 Unauthorized, 3003 Forbidden, 3008 Timeout.
    Iana,
    /// Codes whose range tells what to do: 3000-3499 come back, 3500-3999 stay away.
    Ranges,
}

impl Preset {
    /// Every preset, in the order of the documentation.
    pub const ALL: [Self; 8] = [
        Self::Default,
        Self::AppServer,
        Self::Omi,
        Self::CodeframeTerminal,
        Self::CodeframeChat,
        Self::GraphqlWs,
        Self::Iana,
        Self::Ranges,
    ];

    /// The name used in configuration.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::AppServer => "app-server",
            Self::Omi => "omi",
            Self::CodeframeTerminal => "codeframe-terminal",
            Self::CodeframeChat => "codeframe-chat",
            Self::GraphqlWs => "graphql-ws",
            Self::Iana => "iana",
            Self::Ranges => "ranges",
        }
    }

    /// The preset called `name`.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|preset| preset.name() == name)
    }

    fn code(self, kind: RefusalKind) -> Option<CloseCode> {
        let default = kind.row().close?;
        Some(match self {
            Self::Omi if kind == RefusalKind::KeysUnavailable => CloseCode::private(4001),
            Self::Default | Self::AppServer | Self::Omi => default,
            Self::CodeframeTerminal => match Family::of(kind) {
                Family::Credential | Family::Stale => CloseCode::private(4001),
                Family::Permission => CloseCode::private(4003),
                Family::Unknown => CloseCode::private(4004),
                Family::Sessions => CloseCode::private(4029),
                Family::Other => default,
            },
            Self::CodeframeChat => match Family::of(kind) {
                Family::Credential | Family::Stale | Family::Permission => CloseCode::POLICY,
                Family::Unknown => CloseCode::private(4008),
                Family::Sessions => CloseCode::private(4009),
                Family::Other => default,
            },
            Self::GraphqlWs => match Family::of(kind) {
                Family::Credential | Family::Stale => CloseCode::private(4401),
                Family::Permission => CloseCode::private(4403),
                Family::Sessions => CloseCode::private(4429),
                Family::Unknown | Family::Other => default,
            },
            Self::Iana => match Family::of(kind) {
                _ if kind == RefusalKind::AuthTimeout => CloseCode::private(3008),
                Family::Credential | Family::Stale => CloseCode::private(3000),
                Family::Permission | Family::Unknown => CloseCode::private(3003),
                Family::Sessions | Family::Other => default,
            },
            Self::Ranges => ranged(kind, default),
        })
    }
}

/// What the presets distinguish.
enum Family {
    /// The credential is no good.
    Credential,
    /// The credential was good; a fresh one will do.
    Stale,
    /// Known, and not allowed.
    Permission,
    /// No such thing.
    Unknown,
    /// Too many sessions.
    Sessions,
    /// Not about the client's right to enter.
    Other,
}

impl Family {
    const fn of(kind: RefusalKind) -> Self {
        match kind {
            RefusalKind::AccountDisabled
            | RefusalKind::AuthTimeout
            | RefusalKind::InvalidCredential
            | RefusalKind::MalformedCredential
            | RefusalKind::MissingCredential
            | RefusalKind::NotYetValid
            | RefusalKind::Revoked => Self::Credential,
            RefusalKind::Expired | RefusalKind::KeyUnknown | RefusalKind::PolicyChanged => {
                Self::Stale
            }
            RefusalKind::InsufficientScope | RefusalKind::NotOwner => Self::Permission,
            RefusalKind::ResourceUnknown => Self::Unknown,
            RefusalKind::SessionLimit => Self::Sessions,
            RefusalKind::BadHandshake
            | RefusalKind::Draining
            | RefusalKind::FailedTooOften
            | RefusalKind::HostForbidden
            | RefusalKind::Idle
            | RefusalKind::Internal
            | RefusalKind::KeysUnavailable
            | RefusalKind::LifetimeReached
            | RefusalKind::MessageTooBig
            | RefusalKind::OriginForbidden
            | RefusalKind::Overloaded
            | RefusalKind::RateLimited
            | RefusalKind::SlowConsumer
            | RefusalKind::UpstreamTimeout
            | RefusalKind::UpstreamUnreachable => Self::Other,
        }
    }
}

/// 3000-3499 where coming back helps, 3500-3999 where it does not; the offset is the default
/// code's last two digits, so that a reader still recognises it. Standard codes keep their number.
fn ranged(kind: RefusalKind, default: CloseCode) -> CloseCode {
    match kind.row().recovery {
        Recovery::Refresh | Recovery::Retry if default.0 >= 3000 => {
            CloseCode::private(3000 + default.0 % 100)
        }
        Recovery::Login => CloseCode::private(3500 + default.0 % 100),
        Recovery::Stop if default.0 >= 3000 => CloseCode::private(3500 + default.0 % 100),
        Recovery::Refresh | Recovery::Retry | Recovery::Stop => default,
    }
}

/// The close codes of one route: a preset, and single codes that override it.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct CodeTable {
    preset: Preset,
    overrides: Vec<(RefusalKind, CloseCode)>,
}

impl CodeTable {
    /// The codes of `preset`.
    #[must_use]
    pub const fn new(preset: Preset) -> Self {
        Self {
            preset,
            overrides: Vec::new(),
        }
    }

    /// Gives `kind` a code of its own. The last one given counts.
    #[must_use]
    pub fn with(mut self, kind: RefusalKind, code: CloseCode) -> Self {
        self.overrides.retain(|(overridden, _)| *overridden != kind);
        self.overrides.push((kind, code));
        self
    }

    /// The preset that this table starts from.
    #[must_use]
    pub const fn preset(&self) -> Preset {
        self.preset
    }

    /// The code with which `kind` is told; none for a refusal that is never accepted.
    #[must_use]
    pub fn code(&self, kind: RefusalKind) -> Option<CloseCode> {
        self.overrides
            .iter()
            .find(|(overridden, _)| *overridden == kind)
            .map(|(_, code)| *code)
            .or_else(|| self.preset.code(kind))
    }

    /// What a client should do after `code`, also when it is one that this table does not send.
    ///
    /// Where several refusals share the code, the one that asks most of the client counts:
    /// `refresh`, then `login`, then `retry`, then `stop`; for a client which only retries would
    /// come back with the same credential for ever.
    #[must_use]
    pub fn recovery(&self, code: u16) -> Recovery {
        let told = RefusalKind::ALL
            .into_iter()
            .filter(|kind| self.code(*kind).is_some_and(|own| own.0 == code))
            .map(|kind| kind.row().recovery);
        told.min_by_key(|recovery| match recovery {
            Recovery::Refresh => 0,
            Recovery::Login => 1,
            Recovery::Retry => 2,
            Recovery::Stop => 3,
        })
        .unwrap_or_else(|| recovery_by_range(code))
    }
}

/// What a client should do after a code that no table names.
///
/// 1006 is what a client reports when it got no close frame: it should come back, and may ask
/// `/.portcullis/check` why it was refused.
#[must_use]
pub const fn recovery_by_range(code: u16) -> Recovery {
    match code {
        1001 | 1005 | 1006 | 1011..=1014 | 3000..=3499 | 4000..=4499 => Recovery::Retry,
        1008 => Recovery::Login,
        _ => Recovery::Stop,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_codes_that_may_be_sent_are_codes() {
        for good in [1000, 1003, 1007, 1014, 3000, 4999] {
            assert_eq!(CloseCode::new(good).map(CloseCode::get), Ok(good));
        }
        for bad in [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, u16::MAX] {
            assert_eq!(CloseCode::new(bad), Err(UnsendableCode(bad)));
        }
    }

    #[test]
    fn a_reason_is_cut_on_a_character() {
        assert_eq!(cut_reason("short"), "short");
        let long = format!("{}é", "x".repeat(122));
        assert_eq!(cut_reason(&long).len(), 122);
        assert_eq!(cut_reason(&"é".repeat(100)).len(), 122);
    }

    #[test]
    fn every_preset_has_a_name_by_which_it_is_found() {
        for preset in Preset::ALL {
            assert_eq!(Preset::named(preset.name()), Some(preset));
        }
        assert_eq!(Preset::named("nope"), None);
    }

    #[test]
    fn presets_remap_what_their_clients_expect() {
        let code = |preset, kind| CodeTable::new(preset).code(kind).map(CloseCode::get);
        use RefusalKind as K;
        assert_eq!(code(Preset::Default, K::KeysUnavailable), Some(1013));
        assert_eq!(code(Preset::Omi, K::KeysUnavailable), Some(4001));
        assert_eq!(code(Preset::Omi, K::InvalidCredential), Some(1008));
        assert_eq!(
            code(Preset::CodeframeTerminal, K::MissingCredential),
            Some(4001)
        );
        assert_eq!(code(Preset::CodeframeTerminal, K::NotOwner), Some(4003));
        assert_eq!(
            code(Preset::CodeframeTerminal, K::ResourceUnknown),
            Some(4004)
        );
        assert_eq!(code(Preset::CodeframeTerminal, K::SessionLimit), Some(4029));
        assert_eq!(code(Preset::CodeframeChat, K::Expired), Some(1008));
        assert_eq!(code(Preset::GraphqlWs, K::Expired), Some(4401));
        assert_eq!(code(Preset::GraphqlWs, K::InsufficientScope), Some(4403));
        assert_eq!(code(Preset::GraphqlWs, K::SessionLimit), Some(4429));
        assert_eq!(code(Preset::Iana, K::InvalidCredential), Some(3000));
        assert_eq!(code(Preset::Iana, K::AuthTimeout), Some(3008));
        assert_eq!(code(Preset::Ranges, K::Expired), Some(3001));
        assert_eq!(code(Preset::Ranges, K::Revoked), Some(3504));
        assert_eq!(code(Preset::Default, K::OriginForbidden), None);
    }

    #[test]
    fn in_the_ranges_preset_the_range_says_what_to_do() {
        let table = CodeTable::new(Preset::Ranges);
        for kind in RefusalKind::ALL {
            let Some(code) = table.code(kind) else {
                continue;
            };
            let comes_back = match kind.row().recovery {
                Recovery::Refresh | Recovery::Retry => true,
                Recovery::Login | Recovery::Stop => false,
            };
            match code.get() {
                3000..=3499 => assert!(comes_back, "{kind:?}"),
                3500..=3999 => assert!(!comes_back, "{kind:?}"),
                standard => assert!(standard < 2000, "{kind:?}"),
            }
        }
    }

    #[test]
    fn recovery_is_read_back_from_each_code_of_the_default_table() {
        let table = CodeTable::default();
        for (code, recovery) in [
            (1001, Recovery::Retry),
            (1008, Recovery::Login),
            (1009, Recovery::Stop),
            (1011, Recovery::Retry),
            (1012, Recovery::Retry),
            (1013, Recovery::Retry),
            (1014, Recovery::Retry),
            (4001, Recovery::Refresh),
            (4003, Recovery::Stop),
            (4004, Recovery::Login),
            (4029, Recovery::Retry),
            (4404, Recovery::Stop),
        ] {
            assert_eq!(table.recovery(code), recovery, "{code}");
        }
    }

    #[test]
    fn unknown_codes_degrade_by_range() {
        let table = CodeTable::default();
        for (code, recovery) in [
            (1000, Recovery::Stop),
            (1006, Recovery::Retry),
            (3123, Recovery::Retry),
            (3777, Recovery::Stop),
            (4123, Recovery::Retry),
            (4777, Recovery::Stop),
            (9999, Recovery::Stop),
        ] {
            assert_eq!(table.recovery(code), recovery, "{code}");
        }
    }

    #[test]
    fn an_override_counts_before_the_preset_and_the_last_one_wins() {
        let own = |code| CloseCode::new(code).expect("sendable");
        let table = CodeTable::new(Preset::GraphqlWs)
            .with(RefusalKind::Expired, own(4444))
            .with(RefusalKind::Expired, own(4002));
        assert_eq!(table.code(RefusalKind::Expired), Some(own(4002)));
        assert_eq!(table.recovery(4002), Recovery::Refresh);
        assert_eq!(table.code(RefusalKind::Revoked), Some(own(4401)));
    }
}
