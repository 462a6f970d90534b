//! Every conversation of an interval: the oracle of the tests.

use std::sync::Arc;

use crate::sandbox::{
    genesys::{
        conversations::records::{Facts, Records},
        renderer::Renderer,
    },
    time::TimeRange,
};

/// Conversations in a piece of the truth: about a megabyte, however many a day has.
const TRUTH_PIECE: usize = 200;

impl Records {
    /// Every conversation that starts inside `interval`, one per line, in pieces of bounded size.
    /// With `attributes` as in the results of jobs, otherwise as in those of the query.
    pub(crate) fn truth(
        self: Arc<Self>,
        interval: TimeRange,
        attributes: bool,
    ) -> impl Iterator<Item = bytes::Bytes> + Send + use<> {
        let mut days = interval.days();
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
                renderer.with_attributes = attributes;
                renderer.variation = self.variation;
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
