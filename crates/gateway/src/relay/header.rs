//! The header of a frame (RFC 6455, 5.2).

use portcullis_boundary::session::Frame;

/// A header, and how many bytes it has.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Header {
    pub(crate) frame: Frame,
    pub(crate) bytes: usize,
    pub(crate) mask: [u8; 4],
}

/// Reads the header that `buffer` begins with; none when it is not whole yet.
#[inline]
pub(crate) fn read_header(buffer: &[u8]) -> Option<Header> {
    let (&[first, second], rest) = buffer.split_first_chunk::<2>()?;
    let masked = second & 0x80 != 0;
    let (length, rest, extended) = match second & 0x7f {
        126 => {
            let (length, rest) = rest.split_first_chunk::<2>()?;
            (u64::from(u16::from_be_bytes(*length)), rest, 2)
        }
        127 => {
            let (length, rest) = rest.split_first_chunk::<8>()?;
            (u64::from_be_bytes(*length), rest, 8)
        }
        short => (u64::from(short), rest, 0),
    };
    let mask = if masked {
        *rest.first_chunk::<4>()?
    } else {
        [0; 4]
    };
    let frame = Frame {
        fin: first & 0x80 != 0,
        opcode: first & 0x0f,
        masked,
        length,
    };
    Some(Header {
        frame,
        bytes: 2 + extended + if masked { 4 } else { 0 },
        mask,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(buffer: &[u8]) -> Option<(Frame, usize)> {
        read_header(buffer).map(|header| (header.frame, header.bytes))
    }

    #[test]
    fn lengths_have_three_forms() {
        let frame = |length| Frame {
            fin: true,
            opcode: 2,
            masked: false,
            length,
        };
        assert_eq!(header(&[0x82, 125]), Some((frame(125), 2)));
        assert_eq!(header(&[0x82, 126, 1, 0]), Some((frame(256), 4)));
        assert_eq!(
            header(&[0x82, 127, 0, 0, 0, 1, 0, 0, 0, 0]),
            Some((frame(1 << 32), 10))
        );
    }

    #[test]
    fn a_masked_header_ends_after_its_key() {
        let read = read_header(&[0x01, 0x83, 9, 8, 7, 6, 5]).expect("whole");
        assert_eq!(
            (read.bytes, read.mask, read.frame.fin),
            (6, [9, 8, 7, 6], false)
        );
    }

    #[test]
    fn a_header_that_is_not_whole_is_none() {
        let whole = [0x82, 0xff, 0, 0, 0, 0, 0, 0, 0, 1, 1, 2, 3, 4];
        for end in 0..whole.len() {
            assert_eq!(header(&whole[..end]), None, "{end}");
        }
        assert!(header(&whole).is_some());
    }
}
