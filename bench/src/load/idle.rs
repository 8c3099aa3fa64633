//! Connections that have spoken once and then rest.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use anyhow::{Context, Result, ensure};

use super::{Target, open};
use crate::wire::{BINARY, Header};

/// The payload of the one echo.
const BYTES: usize = 1024;

/// Opens `count` connections and has one message of 1 KiB echoed on each.
pub(crate) fn open_and_rest(target: &mut Target, count: usize) -> Result<Vec<TcpStream>> {
    let mut request = Vec::new();
    let mut reply = Vec::new();
    let length = BYTES as u64;
    Header {
        fin: true,
        opcode: BINARY,
        mask: Some([0; 4]),
        length,
    }
    .write(&mut request);
    Header {
        fin: true,
        opcode: BINARY,
        mask: None,
        length,
    }
    .write(&mut reply);
    for bytes in [&mut request, &mut reply] {
        bytes.extend((0..BYTES).map(|i| (i % 251) as u8));
    }
    let mut streams = open(target, count)?;
    let mut got = vec![0; reply.len()];
    for stream in &mut streams {
        stream.write_all(&request).context("send")?;
        stream.read_exact(&mut got).context("read the echo")?;
        ensure!(got == reply, "a wrong echo");
    }
    Ok(streams)
}
