//! JSON that is passed on as it was written.
//!
//! What goes through the bridge is not parsed into a tree and written anew: numbers would lose digits,
//! objects their order, and each event its speed. [`Fields`] is an object whose members are kept as
//! text, [`Edits`] changes some places of a text and leaves the rest.

mod depth;
mod edits;
mod fields;
mod text;

pub(crate) use self::depth::is_deeper_than;
pub(crate) use self::edits::Edits;
pub(crate) use self::fields::{Fields, Items};
pub use self::text::Text;

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// A string, borrowed where it has no escapes.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
#[serde(transparent)]
pub(crate) struct Str<'a>(#[serde(borrow)] pub(crate) Cow<'a, str>);

/// The string that `raw` is, if it is one.
pub(crate) fn string(raw: &RawValue) -> Option<Cow<'_, str>> {
    let text: Str<'_> = serde_json::from_str(raw.get()).ok()?;
    Some(text.0)
}

/// `value` as JSON.
pub(crate) fn raw(value: &(impl Serialize + ?Sized)) -> Box<RawValue> {
    serde_json::value::to_raw_value(value).expect("strings, numbers and their lists make JSON")
}
