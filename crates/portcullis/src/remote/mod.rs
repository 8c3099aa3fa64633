//! Hosts behind a NAT, and the relay that they dial.

#[cfg_attr(
    not(test),
    expect(
        dead_code,
        reason = "the relay of a gate asks for it when it has a bus"
    )
)]
mod exchange;
