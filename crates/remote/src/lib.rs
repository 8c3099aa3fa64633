//! A gateway behind a NAT: the wire of remote control, the host that dials out, the relay that it dials.

pub mod connector;
