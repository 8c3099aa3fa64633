//! Clients on real sockets.
