//! How many connections there may be, and for how long.

use std::num::NonZeroU32;
use std::time::Duration;

use portcullis_boundary::policy::Auth;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::support::{Setup, required, within};

#[tokio::test]
async fn a_connection_too_many_is_turned_away_and_a_session_is_one() {
    let mut setup = Setup::new(required());
    setup.room.connections = NonZeroU32::new(2);
    let gate = setup.start();
    let held = [gate.enter().await, gate.enter().await];
    gate.sessions(2).await;
    let (answer, mut turned_away) = gate.send("").await;
    assert_eq!(answer.status, 503);
    assert_eq!(answer.header("retry-after"), Some("1"));
    assert_eq!(turned_away.next().await, None);
    let [gone, _stays] = held;
    drop(gone);
    gate.sessions(1).await;
    gate.enter().await;
}

#[tokio::test]
async fn one_address_has_its_share_of_connections() {
    let mut setup = Setup::new(Auth::Public);
    setup.room.connections_per_address = NonZeroU32::new(1);
    let gate = setup.start();
    let text = format!("GET /x HTTP/1.1\r\nhost: {}\r\n\r\n", gate.address);
    let (answer, kept) = gate.send(&text).await;
    assert_eq!(answer.status, 200);
    assert_eq!(gate.send("").await.0.status, 503);
    drop(kept);
    within(async { while gate.send(&text).await.0.status != 200 {} }).await;
}

/// It has a setting to say and nothing to ask, and answers no ping.
#[tokio::test]
async fn an_http2_connection_without_a_stream_ends() {
    let mut setup = Setup::new(Auth::Public);
    setup.timeouts.idle = Duration::from_millis(100);
    setup.timeouts.header = Duration::from_millis(200);
    let gate = setup.start();
    let mut client = within(tokio::net::TcpStream::connect(gate.address))
        .await
        .expect("connected");
    let empty_settings = [0, 0, 0, 4, 0, 0, 0, 0, 0];
    let hello = [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &empty_settings[..]].concat();
    client.write_all(&hello).await.expect("written");
    let mut said = Vec::new();
    within(client.read_to_end(&mut said)).await.expect("an end");
    let mut kinds = Vec::new();
    while let Some((head, rest)) = said.split_first_chunk::<9>() {
        kinds.push(head[3]);
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        said = rest[usize::try_from(length).expect("small")..].to_vec();
    }
    const GOAWAY: u8 = 7;
    assert!(kinds.contains(&GOAWAY), "{kinds:?}");
}
