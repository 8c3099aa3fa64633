//! A client that leaves before what was decided about it is carried out.

use portcullis_boundary::{Arrival, Pass};

use crate::config::Route;
use crate::report::Reporter;
use crate::trail::Trail;

/// Reports that an arrival was admitted, should its client leave while the upstream is being
/// reached: the future in which that happens is dropped then, and the decision with it.
pub(super) struct Leaver<'a> {
    reporter: &'a Reporter,
    route: &'a Route,
    arrival: &'a Arrival,
    pass: &'a Pass,
    trail: &'a Trail,
    stays: bool,
}

impl<'a> Leaver<'a> {
    pub(super) const fn new(
        reporter: &'a Reporter,
        route: &'a Route,
        arrival: &'a Arrival,
        pass: &'a Pass,
        trail: &'a Trail,
    ) -> Self {
        Self {
            reporter,
            route,
            arrival,
            pass,
            trail,
            stays: false,
        }
    }

    /// The client is still there: somebody else reports.
    pub(super) fn stays(mut self) {
        self.stays = true;
    }
}

impl Drop for Leaver<'_> {
    fn drop(&mut self) {
        if !self.stays {
            let name = self.route.policy.name();
            self.reporter
                .admitted(name, self.arrival, self.pass, self.trail);
        }
    }
}
