//! A relay on loopback, and those who come to it.

mod book;
mod bus;
mod gate;
mod guest;
mod host;
mod http;
mod server;

use std::time::Duration;

pub(crate) use self::book::MemoryBook;
pub(crate) use self::bus::{Manner, TestBus};
pub(crate) use self::gate::{Gate, Gates};
pub(crate) use self::guest::TestGuest;
pub(crate) use self::host::{Process, Road, TestHost, enrolment};
pub(crate) use self::http::{Answer, ask};
pub(crate) use self::server::{Served, Server};

/// Waits for something that must come.
pub(crate) async fn within<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), what)
        .await
        .expect("it comes in time")
}

/// Waits until `is_so`, which nothing tells.
pub(crate) async fn until(is_so: impl Fn() -> bool) {
    within(async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

/// A connection without delays.
async fn connect(address: std::net::SocketAddr) -> tokio::net::TcpStream {
    let socket = within(tokio::net::TcpStream::connect(address)).await;
    let socket = socket.expect("a connection");
    socket.set_nodelay(true).expect("a socket");
    socket
}
