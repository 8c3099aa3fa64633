//! What is counted of the relay.

use std::cmp::Reverse;
use std::fmt::Write as _;

use http::StatusCode;
use portcullis_remote::relay::{Relay, RoadStatus};

/// The most hosts with figures of their own: those with the most guests. All are in the sums.
const MOST_HOSTS: usize = 100;

/// Says what each metric is that is counted as it happens.
pub(crate) fn describe() {
    metrics::describe_counter!(
        "portcullis_remote_requests_total",
        "Requests of hosts and guests to the relay by what was asked and the status of the answer."
    );
}

/// The relay has answered.
pub(super) fn answered(asked: &'static str, status: StatusCode) {
    metrics::counter!(
        "portcullis_remote_requests_total",
        "asked" => asked,
        "status" => status.as_str().to_owned(),
    )
    .increment(1);
}

/// What a host asks for at `path`, which is below `below`, as far as names of metrics go.
pub(super) fn asked(below: &str, path: &str) -> &'static str {
    let path = path.strip_prefix(below);
    let Some(path) = path.and_then(|path| path.strip_prefix("/wham/remote/control/")) else {
        return "other";
    };
    match path {
        "server" => "road",
        "server/enroll" => "enrol",
        "server/refresh" => "refresh",
        "server/pair" => "pair",
        "server/pair/status" => "pair_status",
        "pair/claim" => "claim",
        path if path.starts_with("environments/") => "devices",
        _ => "other",
    }
}

/// How `relay` stands, as Prometheus reads it. It is written when it is asked for, so that a host
/// that is gone leaves nothing behind.
pub(crate) fn render(relay: &Relay) -> String {
    let mut text = String::new();
    let counts = relay.road_counts();
    head(
        &mut text,
        "roads_opened_total",
        "counter",
        "Roads that opened.",
    );
    line(&mut text, "roads_opened_total", "", counts.opened);
    head(
        &mut text,
        "roads_ended_total",
        "counter",
        "Roads that ended, by reason.",
    );
    for (reason, count) in counts.ended {
        let label = format!("{{reason=\"{reason}\"}}");
        line(&mut text, "roads_ended_total", &label, count);
    }
    let mut roads = relay.roads();
    let here = relay.guests().len();
    head(&mut text, "roads", "gauge", "Roads that end at this gate.");
    line(&mut text, "roads", "", whole(roads.len()));
    head(&mut text, "guests", "gauge", "Guests at this gate.");
    line(&mut text, "guests", "", whole(here));
    roads.sort_by_key(|road| (Reverse(road.guests), Reverse(road.to_host)));
    for (name, about, read) in FIGURES {
        let all = roads.iter().map(read).fold(0, usize::saturating_add);
        head(&mut text, name, "gauge", about);
        line(&mut text, name, "", whole(all));
        let of_one = format!("{name}_of_host");
        head(&mut text, &of_one, "gauge", OF_HOST);
        for road in roads.iter().take(MOST_HOSTS) {
            // An id is the relay's own, and has nothing to escape.
            let label = format!("{{host=\"{}\"}}", road.host);
            line(&mut text, &of_one, &label, whole(read(road)));
        }
    }
    text
}

const OF_HOST: &str = "The same by host, of the 100 with the most guests.";

type Figure = (&'static str, &'static str, fn(&RoadStatus) -> usize);

const FIGURES: [Figure; 4] = [
    (
        "road_guests",
        "Guests on the roads that end at this gate.",
        |road| road.guests,
    ),
    (
        "waiting_for_host",
        "Envelopes that wait to be written to hosts.",
        |road| road.to_host,
    ),
    (
        "waiting_for_guests_bytes",
        "Bytes that wait for guests to read them.",
        |road| road.to_guests_bytes,
    ),
    (
        "gathered",
        "Envelopes that wait for guests who have not come yet.",
        |road| road.gathered,
    ),
];

fn head(text: &mut String, name: &str, kind: &str, about: &str) {
    // Writing to a text does not fail.
    let _: std::fmt::Result = write!(
        text,
        "# HELP portcullis_remote_{name} {about}\n# TYPE portcullis_remote_{name} {kind}\n"
    );
}

fn line(text: &mut String, name: &str, label: &str, value: u64) {
    let _: std::fmt::Result = writeln!(text, "portcullis_remote_{name}{label} {value}");
}

fn whole(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_has_one_of_few_names() {
        let below = "/backend-api";
        let at = |path: &str| asked(below, &format!("{below}/wham/remote/control/{path}"));
        assert_eq!(at("server"), "road");
        assert_eq!(at("server/enroll"), "enrol");
        assert_eq!(at("environments/x/clients/y"), "devices");
        assert_eq!(at("server/anything"), "other");
        assert_eq!(asked(below, "/backend-api/ps/mcp"), "other");
        let longer = "/backend-api/x/wham/remote/control/server";
        assert_eq!(asked(below, longer), "other");
    }
}
