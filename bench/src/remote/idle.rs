//! What rests in memory: roads without guests, guests that say nothing, a far end with nothing to do.
//!
//! Each is told without the pages of the program's file: they are shared by all who run it, so that the
//! share of each falls with every far end that is started.

use std::thread::sleep;
use std::time::Duration;

use anyhow::Result;

use super::load::Load;
use super::report::Figure;
use super::run::Samples;
use super::ways::{Kind, Site, Way};
use super::{Scenario, Shape};
use crate::process::Memory;

/// Roads beside the first.
const ROADS: usize = 16;
/// Guests of the first host; a road of ours takes 64.
const GUESTS: usize = 60;
/// How long memory is left alone before it is read.
const SETTLING: Duration = Duration::from_secs(2);

/// Measures a way that is started for this.
pub(super) fn measure(kind: Kind, site: &Site, samples: &mut Samples) -> Result<()> {
    if kind == Kind::Direct {
        return Ok(());
    }
    let mut way = Way::start(kind, site, ROADS + 1)?;
    way.wait_for_roads()?;
    sleep(SETTLING);
    let alone = Memory::read(&way.near_pids())?;
    for _ in 0..ROADS {
        way.add_host(site)?;
    }
    way.wait_for_roads()?;
    sleep(SETTLING);
    let roads = Memory::read(&way.near_pids())?;
    // The first has had a guest already.
    let idle = Memory::read(&way.far_pids(1))?;
    if kind == Kind::Relay {
        let host = way.add_host_over_tls(site)?;
        way.wait_for_roads()?;
        sleep(SETTLING);
        let idle = Memory::read(&way.far_pids(host))?;
        samples.add(Figure::FarRssTls, kind, idle.resident as f64 / 1024.0);
    }
    let both = |way: &Way| Memory::read(&[way.near_pids(), way.far_pids(0)].concat());
    let before = both(&way)?;
    let shape = Shape {
        guests: GUESTS,
        ..Scenario::Idle.shape(false)
    };
    let mut load = Load::open(&way.door, shape)?;
    load.run(GUESTS)?;
    sleep(SETTLING);
    let after = both(&way)?;
    let each = |after: Memory, before: Memory, count: usize| {
        after.anonymous.saturating_sub(before.anonymous) as f64 / count as f64
    };
    samples.add(Figure::Road, kind, each(roads, alone, ROADS));
    samples.add(Figure::Guest, kind, each(after, before, GUESTS));
    samples.add(Figure::NearRss, kind, alone.resident as f64 / 1024.0);
    samples.add(Figure::FarRss, kind, idle.resident as f64 / 1024.0);
    samples.add(Figure::FarOwn, kind, idle.anonymous as f64 / 1024.0);
    Ok(())
}
