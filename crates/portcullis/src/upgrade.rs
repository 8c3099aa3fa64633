//! A request's socket, from the gate to the services in this program.

use http::Request;
use portcullis_gateway::service::{Body, Socket};
use portcullis_upgrade::Upgrade;

/// Gives a request that asks for a WebSocket its [`Upgrade`].
pub(crate) fn hand_on(request: &mut Request<Body>) {
    if let Some(socket) = Socket::asked_for(request) {
        let upgrade = Upgrade::new(async { Ok(portcullis_upgrade::Socket::new(socket.await?)) });
        request.extensions_mut().insert(upgrade);
    }
}
