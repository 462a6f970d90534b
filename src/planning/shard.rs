//! A shard: the unit of fetching.

use std::sync::Arc;

use crate::{catalog::Dataset, time::interval::Interval};

/// The rows of one dataset whose time lies in one interval: the unit of fetching.
#[derive(Debug, Clone)]
pub struct Shard {
    /// The dataset that is fetched.
    pub dataset: Arc<Dataset>,
    /// The time that the shard owns (G4).
    pub interval: Interval,
    /// Whether the interval is committed already and its records are to be replaced. The committed
    /// rows stay until everything that replaces them is there (G3).
    pub replaces: bool,
}
