//! Entry points for the fuzz targets, which reach nothing else in here.

use portcullis_boundary::clock::Moment;
use portcullis_boundary::session::{Action, Session, Side};

use super::scratch::HEADROOM;
use super::walk::Walk;

/// What a walk over some bytes came to.
#[derive(Debug)]
#[non_exhaustive]
pub struct Trace {
    /// What was passed on.
    pub passed: Vec<u8>,
    /// Where in what was passed on a frame ended, as far as the walk said so.
    pub boundaries: Vec<usize>,
    /// How many bytes were kept back for the next chunk.
    pub carried: usize,
    /// The first thing that the session wanted done.
    pub action: Action,
}

/// Walks over `bytes`, which come from `from` in chunks of the given sizes, over and over.
///
/// # Panics
///
/// When more is kept back than a pipe has room for before its next chunk.
pub fn walk(from: Side, session: &mut Session, pings: u32, bytes: &[u8], sizes: &[usize]) -> Trace {
    let mut walk = Walk::new(from);
    for _ in 0..pings {
        walk.expect_pong();
    }
    let mut trace = Trace {
        passed: Vec::new(),
        boundaries: Vec::new(),
        carried: 0,
        action: Action::Nothing,
    };
    let mut left = bytes;
    for size in sizes.iter().cycle() {
        if left.is_empty() {
            break;
        }
        let (now, later) = left.split_at((*size).clamp(1, left.len()));
        left = later;
        let mut chunk = [walk.carry(), now].concat();
        let walked = walk.walk(&mut chunk, session, Moment::default());
        if let Some(boundary) = walked.boundary {
            trace.boundaries.push(trace.passed.len() + boundary);
        }
        trace.passed.extend(chunk.iter().take(walked.pass));
        trace.carried = walk.carry().len();
        assert!(trace.carried <= HEADROOM, "{} bytes kept", trace.carried);
        if trace.action == Action::Nothing {
            trace.action = walked.action;
        }
    }
    trace
}
