//! What the host's end promises, on real sockets.

mod backend;
mod credentials;
mod enrolment;
mod forwarder;
mod guests;
mod handshake;
mod host;
mod life;
mod relay;
mod way_out;
