//! Taking an address.

use std::io;
use std::net::{SocketAddr, TcpListener as StdTcpListener};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener as StdUnixListener, UnixStream as StdUnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use socket2::{Domain, Protocol, Socket, Type};

use crate::config::{ListenAddress, Listener};
use crate::gate::{BoundAddress, StartError};

/// Connections that the kernel keeps until they are accepted.
const BACKLOG: i32 = 4096;

/// One thread's share of a listener.
pub(crate) struct Bound {
    pub(crate) listener: Arc<Listener>,
    pub(crate) socket: BoundSocket,
}

pub(crate) enum BoundSocket {
    Tcp(StdTcpListener),
    Unix(StdUnixListener, UnixPath),
}

/// A socket's file, removed when the last share of its listener is dropped.
#[derive(Clone, Debug)]
pub(crate) struct UnixPath {
    _guard: Arc<PathGuard>,
}

#[derive(Debug)]
struct PathGuard(PathBuf);

impl Drop for PathGuard {
    fn drop(&mut self) {
        // Whoever removed it before us wanted the same.
        let _: io::Result<()> = std::fs::remove_file(&self.0);
    }
}

/// Takes the listener's address, with one socket for each of `shares` threads.
pub(crate) fn bind(
    listener: &Arc<Listener>,
    shares: usize,
) -> Result<(BoundAddress, Vec<Bound>), StartError> {
    let tls = listener.tls.is_some();
    let (address, sockets) = match &listener.address {
        ListenAddress::Tcp(address) => {
            let (sockets, bound) = tcp(*address, shares).map_err(|source| StartError::Bind {
                address: BoundAddress::Tcp {
                    address: *address,
                    tls,
                }
                .to_string(),
                source,
            })?;
            (
                BoundAddress::Tcp {
                    address: bound,
                    tls,
                },
                sockets,
            )
        }
        ListenAddress::Unix(path) => {
            let address = BoundAddress::Unix(path.clone());
            let sockets = unix(path, shares).map_err(|source| StartError::Bind {
                address: address.to_string(),
                source,
            })?;
            (address, sockets)
        }
    };
    let bound = sockets
        .into_iter()
        .map(|socket| Bound {
            listener: Arc::clone(listener),
            socket,
        })
        .collect();
    Ok((address, bound))
}

/// The kernel spreads connections over sockets of one address with `SO_REUSEPORT`. That option
/// would also let a second gate take the same address unnoticed, so the first socket is tried
/// without it.
fn tcp(address: SocketAddr, shares: usize) -> io::Result<(Vec<BoundSocket>, SocketAddr)> {
    drop(tcp_socket(address, false)?);
    let first: StdTcpListener = tcp_socket(address, true)?.into();
    let bound = first.local_addr()?;
    let mut sockets = vec![first];
    for _ in 1..shares {
        sockets.push(tcp_socket(bound, true)?.into());
    }
    Ok((sockets.into_iter().map(BoundSocket::Tcp).collect(), bound))
}

fn tcp_socket(address: SocketAddr, share: bool) -> io::Result<Socket> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(share)?;
    socket.set_nonblocking(true)?;
    // What is accepted inherits it: one call less for each connection.
    socket.set_tcp_nodelay(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.bind(&address.into())?;
    if share {
        socket.listen(BACKLOG)?;
    }
    Ok(socket)
}

fn unix(path: &Path, shares: usize) -> io::Result<Vec<BoundSocket>> {
    remove_stale(path)?;
    // The file must never be open to others, not even until its mode is set: it is bound under a
    // name that nobody knows, in the same directory, and renamed when it is ready.
    let name = path
        .file_name()
        .ok_or(io::ErrorKind::InvalidInput)?
        .to_string_lossy();
    let hidden = path.with_file_name(format!(".{name}.{}", std::process::id()));
    let socket = StdUnixListener::bind(&hidden)?;
    std::fs::set_permissions(&hidden, std::fs::Permissions::from_mode(0o600))?;
    std::fs::rename(&hidden, path)?;
    socket.set_nonblocking(true)?;
    let guard = UnixPath {
        _guard: Arc::new(PathGuard(path.to_owned())),
    };
    let mut sockets = Vec::new();
    for _ in 1..shares {
        sockets.push(BoundSocket::Unix(socket.try_clone()?, guard.clone()));
    }
    sockets.push(BoundSocket::Unix(socket, guard));
    Ok(sockets)
}

/// Removes a socket on which nobody listens any more. Anything else at the path is left alone.
fn remove_stale(path: &Path) -> io::Result<()> {
    match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
        Ok(found) if !found.file_type().is_socket() => Err(io::Error::new(
            io::ErrorKind::AlreadyExists,
            "there is a file at this path that is no socket; remove it or choose another path",
        )),
        Ok(_) => match StdUnixStream::connect(path) {
            Ok(_) => Err(io::ErrorKind::AddrInUse.into()),
            Err(_) => std::fs::remove_file(path),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_is_taken_is_noticed_in_spite_of_reuse_port() {
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        let (held, bound) = tcp(address, 2).expect("a free port");
        assert_eq!(held.len(), 2);
        let error = tcp(bound, 2).err().expect("taken");
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    }

    #[test]
    fn a_stale_socket_is_replaced_and_a_live_one_or_a_file_is_not() {
        let folder = std::env::temp_dir().join(format!("portcullis-listen-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let path = folder.join("gate.sock");
        let live = unix(&path, 2).expect("free");
        let mode = std::fs::metadata(&path)
            .expect("there")
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(
            unix(&path, 1).err().expect("taken").kind(),
            io::ErrorKind::AddrInUse
        );
        drop(live);
        assert!(!path.exists(), "a listener takes its file along");
        drop(StdUnixListener::bind(&path).expect("free"));
        assert!(path.exists(), "a killed program leaves its file");
        drop(unix(&path, 1).expect("stale"));
        std::fs::write(&path, "precious").expect("written");
        assert_eq!(
            unix(&path, 1).err().expect("a file").kind(),
            io::ErrorKind::AlreadyExists
        );
        std::fs::remove_dir_all(&folder).expect("removed");
    }
}
