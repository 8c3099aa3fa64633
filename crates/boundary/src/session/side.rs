//! The two ends of a session.

/// One of the two ends between which a session passes frames.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "a relay has two ends")]
pub enum Side {
    /// The client, in front.
    Client,
    /// The upstream, behind.
    Upstream,
}

/// One thing for each side.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "a relay has two ends")]
pub struct Sides<T> {
    /// The client's.
    pub client: T,
    /// The upstream's.
    pub upstream: T,
}

impl<T: Copy> Sides<T> {
    /// The one of `side`.
    #[must_use]
    pub const fn of(&self, side: Side) -> T {
        match side {
            Side::Client => self.client,
            Side::Upstream => self.upstream,
        }
    }
}

impl<T> Sides<T> {
    /// The one of `side`, to be changed.
    pub const fn at(&mut self, side: Side) -> &mut T {
        match side {
            Side::Client => &mut self.client,
            Side::Upstream => &mut self.upstream,
        }
    }
}
