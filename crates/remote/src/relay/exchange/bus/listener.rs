//! Hearing what other gates ask and tell.

use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::sleep;

use super::hub::Hub;
use super::question;
use super::road_end::{Asked, Places, answer};
use super::words::{CALLS, Call, NOTICES, Told};
use super::{Ear, Heard};
use crate::relay::Board;

/// Listens for `board`, while it lives.
pub(super) async fn listen(hub: Arc<Hub>, board: Weak<dyn Board>) {
    let places = Places::default();
    // What was told while nobody listened is in the book.
    let mut is_late = false;
    while let Some(now) = board.upgrade() {
        let ears = async {
            Ok::<_, super::NotTold>((hub.listen(CALLS).await?, hub.listen(NOTICES).await?))
        };
        match ears.await {
            Ok((calls, notices)) => {
                if is_late {
                    Arc::clone(&now).missed();
                }
                drop(now);
                hear(&hub, &board, &places, calls, notices).await;
            }
            Err(error) => {
                tracing::warn!(target: "portcullis::remote", %error, "other gates are not heard");
            }
        }
        is_late = true;
        sleep(AGAIN).await;
    }
}

/// Until the bus or the board has ended.
async fn hear(
    hub: &Arc<Hub>,
    board: &Weak<dyn Board>,
    places: &Places,
    mut calls: Box<dyn Ear>,
    mut notices: Box<dyn Ear>,
) {
    loop {
        let (is_call, heard) = tokio::select! {
            heard = calls.next() => (true, heard),
            heard = notices.next() => (false, heard),
            () = sleep(LOOK) => {
                if board.strong_count() == 0 {
                    return;
                }
                continue;
            }
        };
        let (Some(heard), Some(board)) = (heard, board.upgrade()) else {
            return;
        };
        match (is_call, heard) {
            (true, Heard::Payload(payload)) => asked(hub, &board, places, &payload),
            // Who asked asks again.
            (true, Heard::Missed) => {}
            (false, Heard::Payload(payload)) => told(hub, &board, &payload),
            (false, Heard::Missed) => board.missed(),
        }
    }
}

fn asked(hub: &Arc<Hub>, board: &Arc<dyn Board>, places: &Places, payload: &Bytes) {
    match serde_json::from_slice(payload) {
        Ok(Call::Reach {
            from,
            link,
            host,
            client,
            stream,
            is_back,
        }) => {
            if from.0 == board.number() || !board.has_road(&host) {
                return;
            }
            let asked = Asked {
                link: link.0,
                host,
                client,
                stream,
                is_back,
            };
            answer(hub, board, places, asked);
        }
        Ok(Call::Roads {
            from,
            question,
            hosts,
        }) => {
            if from.0 != board.number() {
                question::answer(hub, board, question.0, hosts);
            }
        }
        Err(_) => not_understood(),
    }
}

fn told(hub: &Hub, board: &Arc<dyn Board>, payload: &Bytes) {
    let Ok(Told { from, words }) = serde_json::from_slice(payload) else {
        return not_understood();
    };
    if from.0 == board.number() {
        return;
    }
    for word in words {
        match word.into_notice() {
            Some(notice) => {
                hub.links.hear(&notice);
                board.hear(&notice);
            }
            None => Arc::clone(board).missed(),
        }
    }
}

fn not_understood() {
    tracing::warn!(target: "portcullis::remote", "what another gate says is not understood");
}

/// How long a bus is left alone that cannot be listened to.
const AGAIN: Duration = Duration::from_secs(1);

/// How often it is seen whether the board is gone.
const LOOK: Duration = Duration::from_secs(10);
