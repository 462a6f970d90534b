//! The whole truth: the oracle of every test.

use std::sync::Arc;

use crate::{
    sandbox::genesys::{
        records::{Facts, Records, days_of},
        renderer::Renderer,
    },
    time::interval::{DAY_MS, Interval},
};

/// Conversations a piece of the truth: a megabyte or so, whatever a day holds.
const TRUTH_PIECE: usize = 200;

impl Records {
    /// Every conversation that starts inside `interval`, a line each, in pieces of a bounded size;
    /// with its participants' attributes, as jobs tell it, or as the query does.
    pub(in crate::sandbox) fn truth(
        self: Arc<Self>,
        interval: Interval,
        attributes: bool,
    ) -> impl Iterator<Item = bytes::Bytes> + Send + use<> {
        let mut days = days_of(interval);
        let mut rest: Option<(Arc<[Facts]>, usize)> = None;
        std::iter::from_fn(move || {
            loop {
                let (facts, at) = match rest.take() {
                    Some(rest) => rest,
                    None => (self.day(days.next()?), 0),
                };
                let piece: Vec<_> = facts.iter().skip(at).take(TRUTH_PIECE).collect();
                if piece.is_empty() {
                    continue;
                }
                let mut renderer = Renderer::new(self.seed, piece.len());
                renderer.tells_attributes = attributes;
                for facts in piece.iter().filter(|facts| interval.contains(facts.start)) {
                    renderer.conversation(facts);
                    renderer.json.newline();
                }
                rest = Some((Arc::clone(&facts), at + piece.len()));
                if renderer.json.len() > 0 {
                    return Some(renderer.json.into_bytes());
                }
            }
        })
    }
}

/// Every row of a dataset that has a fixed way to write what starts on one day: a line each, a day a
/// piece.
pub(super) fn daily(
    seed: u64,
    interval: Interval,
    write: fn(&mut Renderer, Interval),
) -> impl Iterator<Item = bytes::Bytes> + Send + use<> {
    days_of(interval).filter_map(move |day| {
        let mut renderer = Renderer::new(seed, 0);
        write(&mut renderer, Interval::day_of(day * DAY_MS).intersect(interval)?);
        Some(renderer.json.into_bytes()).filter(|piece| !piece.is_empty())
    })
}
