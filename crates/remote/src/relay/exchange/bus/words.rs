//! What gates say to all others.

use portcullis_boundary::clock::Timestamp;
use serde::{Deserialize, Serialize};

use crate::relay::Notice;

/// Where gates are asked.
pub(super) const CALLS: &str = "remote.calls";

/// Where gates are told.
pub(super) const NOTICES: &str = "remote.notices";

/// Where the guest's end of a link listens.
pub(super) fn guest_topic(link: u128) -> String {
    format!("remote.link.{link:032x}.guest")
}

/// Where the road's end of a link listens.
pub(super) fn road_topic(link: u128) -> String {
    format!("remote.link.{link:032x}.road")
}

/// Where an answer is waited for.
pub(super) fn answer_topic(question: u128) -> String {
    format!("remote.answer.{question:032x}")
}

/// What one gate asks the others.
#[derive(Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub(super) enum Call {
    /// For a link of a guest to the road of `host`: who has that says so on the link's topic.
    Reach {
        from: Id,
        link: Id,
        host: Box<str>,
        client: Box<str>,
        stream: Box<str>,
        is_back: bool,
    },
    /// Who has roads of `hosts`: he says of which on the question's topic.
    Roads {
        from: Id,
        question: Id,
        hosts: Vec<Box<str>>,
    },
}

/// What one gate tells the others.
#[derive(Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Told {
    pub(super) from: Id,
    pub(super) words: Vec<TellWord>,
}

/// One thing that is told.
#[derive(Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub(super) enum TellWord {
    RoadOpened {
        host: Box<str>,
        road: Id,
        at: i64,
    },
    HostEnded {
        host: Box<str>,
    },
    DeviceEnded {
        host: Box<str>,
        device: Box<str>,
    },
    /// Something was not told: look in the book.
    Missed {},
}

impl From<Notice> for TellWord {
    fn from(notice: Notice) -> Self {
        match notice {
            Notice::RoadOpened { host, road, at } => Self::RoadOpened {
                host,
                road: Id(road),
                at: at.as_millis(),
            },
            Notice::HostEnded { host } => Self::HostEnded { host },
            Notice::DeviceEnded { host, device } => Self::DeviceEnded { host, device },
        }
    }
}

impl TellWord {
    /// What was told; none when it is that something was not.
    pub(super) fn into_notice(self) -> Option<Notice> {
        match self {
            Self::RoadOpened { host, road, at } => Some(Notice::RoadOpened {
                host,
                road: road.0,
                at: Timestamp::from_millis(at),
            }),
            Self::HostEnded { host } => Some(Notice::HostEnded { host }),
            Self::DeviceEnded { host, device } => Some(Notice::DeviceEnded { host, device }),
            Self::Missed {} => None,
        }
    }
}

/// A number that nobody else has, as 32 digits.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(into = "String", try_from = "Box<str>")]
pub(super) struct Id(pub(super) u128);

impl From<Id> for String {
    fn from(id: Id) -> Self {
        format!("{:032x}", id.0)
    }
}

impl TryFrom<Box<str>> for Id {
    type Error = std::num::ParseIntError;

    fn try_from(text: Box<str>) -> Result<Self, Self::Error> {
        u128::from_str_radix(&text, 16).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_is_heard_as_it_was() {
        let notices = [
            Notice::RoadOpened {
                host: "srv_e_1".into(),
                road: u128::MAX,
                at: Timestamp::from_millis(-5),
            },
            Notice::HostEnded {
                host: "a.b*".into(),
            },
            Notice::DeviceEnded {
                host: "h".into(),
                device: "d".into(),
            },
        ];
        let told = Told {
            from: Id(7),
            words: notices.iter().cloned().map(TellWord::from).collect(),
        };
        let text = serde_json::to_string(&told).expect("JSON");
        let heard: Told = serde_json::from_str(&text).expect("what was told");
        let heard = heard.words.into_iter().filter_map(TellWord::into_notice);
        assert_eq!(heard.collect::<Vec<_>>(), notices);
    }

    #[test]
    fn names_in_topics_are_digits() {
        let is_word = |word: &str| word.bytes().all(|byte| byte.is_ascii_alphanumeric());
        for topic in [guest_topic(1), road_topic(u128::MAX), answer_topic(0)] {
            assert!(
                topic
                    .split('.')
                    .all(|word| !word.is_empty() && is_word(word))
            );
            assert!(topic.len() < 64);
        }
    }
}
