//! What one end of a link says to the other at once.
//!
//! | bytes | what |
//! | --- | --- |
//! | 1 | the format, [`FORMAT`] |
//! | 1 | the kind |
//! | 16 | the road's end of the link, which that chose at random |
//! | 8 | the number of this frame; of one that has none, the last number that was said |
//! | 8 | the last number that was taken from the other end |
//! | the rest | a piece of an envelope's text, a version, or which road it is |

use bytes::{Buf, BufMut, Bytes, BytesMut};

use portcullis_boundary::clock::Timestamp;

use super::MAX_PAYLOAD;
use crate::relay::link::RoadAge;

/// The most bytes of a piece.
pub(super) const PIECE: usize = MAX_PAYLOAD - HEAD;

/// What a frame is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    /// Who is there, and what was taken. It has no number.
    Beat,
    /// The link is over at once. It has no number.
    Cut,
    /// A gate has the road, and waits for a beat. It has no number.
    Here,
    /// The guest has its place at the road. It has no number.
    Opened,
    /// The road has as many guests as it may. It has no number.
    Full,
    /// A piece of an envelope, and not the last.
    Part,
    /// The last piece.
    Last,
    /// [`Down::Settled`](crate::relay::Down::Settled).
    Settled,
    /// [`Down::Slow`](crate::relay::Down::Slow).
    Slow,
    /// Nothing more will be said.
    Bye,
}

/// Every kind, by its byte.
const KINDS: [Kind; 10] = [
    Kind::Beat,
    Kind::Cut,
    Kind::Here,
    Kind::Opened,
    Kind::Full,
    Kind::Part,
    Kind::Last,
    Kind::Settled,
    Kind::Slow,
    Kind::Bye,
];

/// A frame.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Frame {
    pub(super) kind: Kind,
    pub(super) number: u64,
    pub(super) taken: u64,
    pub(super) piece: Bytes,
}

impl Frame {
    /// One that is said before there is anything to count.
    pub(super) const fn first(kind: Kind) -> Self {
        Self {
            kind,
            number: 0,
            taken: 0,
            piece: Bytes::new(),
        }
    }

    /// The guest has its place at `road`.
    pub(super) fn opened(road: RoadAge) -> Self {
        let mut piece = BytesMut::with_capacity(24);
        piece.put_i64(road.since.as_millis());
        piece.put_u128(road.number);
        Self {
            piece: piece.freeze(),
            ..Self::first(Kind::Opened)
        }
    }

    /// At which road; none when it does not say.
    pub(super) fn road(&self) -> Option<RoadAge> {
        let mut piece = self.piece.clone();
        Some(RoadAge {
            since: Timestamp::from_millis(piece.try_get_i64().ok()?),
            number: piece.try_get_u128().ok()?,
        })
    }

    /// As it goes over the bus, on the link of the road's end `end`.
    pub(super) fn to_payload(&self, end: u128) -> Bytes {
        let mut payload = BytesMut::with_capacity(HEAD + self.piece.len());
        payload.put_u8(FORMAT);
        payload.put_u8(self.kind as u8);
        payload.put_u128(end);
        payload.put_u64(self.number);
        payload.put_u64(self.taken);
        payload.put_slice(&self.piece);
        payload.freeze()
    }

    /// What came, and of which link; none when it is no frame.
    pub(super) fn parse(mut payload: Bytes) -> Option<(u128, Self)> {
        if !(HEAD..=MAX_PAYLOAD).contains(&payload.len()) || payload.get_u8() != FORMAT {
            return None;
        }
        let kind = KINDS.get(usize::from(payload.get_u8())).copied()?;
        let end = payload.get_u128();
        let frame = Self {
            kind,
            number: payload.get_u64(),
            taken: payload.get_u64(),
            piece: payload,
        };
        Some((end, frame))
    }
}

const FORMAT: u8 = 1;
const HEAD: usize = 1 + 1 + 16 + 8 + 8;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn each_kind_comes_out_as_it_went_in() {
        for kind in KINDS {
            let frame = Frame {
                kind,
                number: 7,
                taken: u64::MAX,
                piece: Bytes::from_static(b"piece"),
            };
            let parsed = Frame::parse(frame.to_payload(u128::MAX - 1));
            assert_eq!(parsed, Some((u128::MAX - 1, frame)));
        }
    }

    #[test]
    fn which_road_it_is_comes_out_as_it_went_in() {
        let road = RoadAge {
            since: Timestamp::from_millis(-1),
            number: u128::MAX,
        };
        let (_, frame) = Frame::parse(Frame::opened(road).to_payload(1)).expect("a frame");
        assert_eq!(frame.road(), Some(road));
        assert_eq!(Frame::first(Kind::Opened).road(), None);
    }

    #[test]
    fn the_longest_piece_fits_the_bus_and_more_is_no_frame() {
        let mut frame = Frame::first(Kind::Last);
        frame.piece = vec![b'x'; PIECE].into();
        assert_eq!(frame.to_payload(1).len(), MAX_PAYLOAD);
        frame.piece = vec![b'x'; PIECE + 1].into();
        assert_eq!(Frame::parse(frame.to_payload(1)), None);
    }

    proptest! {
        #[test]
        fn whatever_comes_is_a_frame_or_none(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let payload = Bytes::from(bytes);
            if let Some((end, frame)) = Frame::parse(payload.clone()) {
                prop_assert_eq!(frame.to_payload(end), payload);
            }
        }
    }
}
