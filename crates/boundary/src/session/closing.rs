//! While the client is told why the session ends.

use std::time::Duration;

use super::action::{Action, Closing};
use super::end::End;
use super::event::Event;
use super::machine::{Session, State};
use super::side::Side;
use crate::clock::Moment;
use crate::close::CloseCode;
use crate::refusal::RefusalKind;

/// How long the frame in hand may take to end before a close is injected, and then how long the
/// client may take to answer it. After either, the connection is cut.
pub const CLOSE_GRACE: Duration = Duration::from_secs(1);

/// The end is decided, and the client is being told.
#[derive(Clone, Copy, Debug)]
pub(super) struct Telling {
    pub(super) end: End,
    pub(super) closing: Closing,
    /// Whether the close was written.
    pub(super) sent: bool,
    pub(super) cut_at: Moment,
}

impl Session {
    pub(super) fn while_closing(&mut self, telling: Telling, event: &Event, now: Moment) -> Action {
        let Telling {
            end, closing, sent, ..
        } = telling;
        if *event == Event::CloseSent {
            self.told = Some(closing.code);
        }
        match event {
            // A client that said goodbye itself has nothing more to say.
            Event::CloseSent if matches!(end, End::Closed(Side::Client, _)) => self.end(end),
            // A grace is given once, however often its beginning is told.
            Event::CloseSent if !sent => {
                self.state = State::Closing(Telling {
                    sent: true,
                    cut_at: now.after(CLOSE_GRACE),
                    ..telling
                });
                Action::Nothing
            }
            Event::CloseFrame(Side::Client, _) if sent => self.end(end),
            Event::Gone(Side::Client) => self.end(end),
            Event::CloseFrame(..)
            | Event::CloseSent
            | Event::Flowing(_)
            | Event::Gone(Side::Upstream)
            | Event::Heard(_)
            | Event::Moved(_)
            | Event::Order(_)
            | Event::Pong
            | Event::Renewed(_)
            | Event::Stalled(_)
            | Event::Unanswered(_)
            | Event::Vouched(_) => Action::Nothing,
        }
    }

    pub(super) fn refuse(&mut self, kind: RefusalKind, now: Moment) -> Action {
        let code = self.terms.codes.code(kind).unwrap_or(CloseCode::POLICY);
        self.close(
            End::Refused(kind),
            Closing {
                code,
                reason: kind.as_str(),
            },
            now.after(CLOSE_GRACE),
        )
    }

    pub(super) fn violated(&mut self, by: Side, now: Moment) -> Action {
        let code = match by {
            Side::Client => CloseCode::PROTOCOL_ERROR,
            Side::Upstream => CloseCode::BAD_GATEWAY,
        };
        self.close(
            End::Violation(by),
            Closing {
                code,
                reason: "protocol error",
            },
            now.after(CLOSE_GRACE),
        )
    }

    pub(super) const fn close(&mut self, end: End, closing: Closing, cut_at: Moment) -> Action {
        self.state = State::Closing(Telling {
            end,
            closing,
            sent: false,
            cut_at,
        });
        Action::Close(closing)
    }
}
