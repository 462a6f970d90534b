//! The rows that a dataset must have: the oracle of the tests.

use std::sync::Arc;

use bytes::Bytes;

use crate::sandbox::{
    Region, Truth,
    genesys::{aggregates, audits, entities, renderer::Renderer, usage, users},
    time::TimeRange,
};

/// The rows of a dataset, see [`Region::truth_of`]. Entity lists ignore the interval.
pub(crate) fn truth(region: &Region, dataset: &str, interval: TimeRange) -> Option<Truth> {
    let seed = region.settings.seed;
    let records = || Arc::clone(&region.records);
    match dataset {
        "conversations" => Some(Box::new(records().truth(interval, false))),
        "conversations+attributes" => Some(Box::new(records().truth(interval, true))),
        "user-details" => Some(Box::new(daily(seed, interval, users::lines))),
        "audits" => Some(Box::new(daily(seed, interval, audits::lines))),
        "usage" => Some(Box::new(daily(seed, interval, usage::lines))),
        _ => match entities::truth(seed, dataset) {
            Some(lines) => Some(Box::new(lines)),
            None => Some(Box::new(aggregates::truth(records(), dataset, interval)?)),
        },
    }
}

/// The lines that `write` gives for each day of an interval, one piece per day.
fn daily(
    seed: u64,
    interval: TimeRange,
    write: fn(&mut Renderer, TimeRange),
) -> impl Iterator<Item = Bytes> + Send + use<> {
    interval.days().filter_map(move |day| {
        let mut renderer = Renderer::new(seed, 0);
        write(&mut renderer, TimeRange::day(day).intersect(interval)?);
        Some(renderer.json.into_bytes()).filter(|piece| !piece.is_empty())
    })
}
