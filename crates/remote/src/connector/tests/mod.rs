//! The connector with all that is around it.

mod simulation;

use portcullis_client::connect::{Dialer, Tls};

/// For those who dial nobody.
pub(super) fn plain_dialer() -> Dialer {
    Dialer::new(Tls::none().expect("no authorities"))
}
