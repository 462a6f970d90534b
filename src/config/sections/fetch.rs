//! `[fetch]`: how shards are fetched.

use std::{num::NonZeroU32, ops::RangeInclusive};

use serde::Deserialize;

use crate::{
    catalog::Dataset,
    config::{
        layers::{ConfigError, Layers},
        values::{ByteSizeText, DurationText, ShardWidthText, in_range, positive},
    },
    fetch::{FetchSettings, NewFieldPolicy, ShardWidth, Strategy},
    time::interval::Interval,
};

/// The most shards of a dataset: a plan holds all of them in memory.
const MOST_SHARDS: u128 = 1_000_000;
/// The sizes of a response that can be allowed, in bytes: a response is held in memory.
const MAX_BODY: RangeInclusive<u64> = 1 << 10..=1 << 30;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FetchSection {
    pub actors: usize,
    shard: ShardWidthText,
    smallest_shard: DurationText,
    pub ahead: usize,
    strategy: StrategyName,
    pub attributes: bool,
    jobs: usize,
    lake_wait: DurationText,
    page_size: Option<NonZeroU32>,
    timeout: DurationText,
    connect_timeout: DurationText,
    max_body: ByteSizeText,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum StrategyName {
    Query,
    Job,
    Auto,
}

impl FetchSection {
    pub(super) fn check(
        &self,
        commit_every: DurationText,
        on_new_field: NewFieldPolicy,
        layers: &Layers,
    ) -> Result<FetchSettings, ConfigError> {
        in_range(self.actors, 1..=1_000, "fetch.actors", layers)?;
        in_range(self.ahead, 1..=100, "fetch.ahead", layers)?;
        in_range(self.jobs, 1..=1_000, "fetch.jobs", layers)?;
        if self.attributes && matches!(self.strategy, StrategyName::Query) {
            return Err(layers.error(
                "fetch.attributes",
                "only jobs return attributes: set fetch.strategy to `job` or `auto`",
            ));
        }
        Ok(FetchSettings {
            actors: self.actors,
            shard: match self.shard {
                ShardWidthText::Auto => ShardWidth::Auto,
                ShardWidthText::Fixed(width) => {
                    ShardWidth::Fixed(positive(width, "fetch.shard", layers)?)
                }
            },
            requests_per_commit: None,
            smallest_shard: positive(self.smallest_shard, "fetch.smallest_shard", layers)?,
            page_size: self.page_size.map_or(u32::MAX, NonZeroU32::get),
            ahead: self.ahead,
            strategy: match self.strategy {
                StrategyName::Query => Strategy::Query,
                StrategyName::Job => Strategy::Job,
                StrategyName::Auto => Strategy::Auto,
            },
            jobs: self.jobs,
            commit_every: positive(commit_every, "output.commit_every", layers)?,
            job_data_wait: self.lake_wait.0,
            timeout: positive(self.timeout, "fetch.timeout", layers)?,
            connect_timeout: positive(self.connect_timeout, "fetch.connect_timeout", layers)?,
            max_body: self.max_body(layers)?,
            on_new_field,
        })
    }

    fn max_body(&self, layers: &Layers) -> Result<u64, ConfigError> {
        let bytes = self.max_body.0;
        if MAX_BODY.contains(&bytes) {
            return Ok(bytes);
        }
        let message = format!("invalid size {bytes}: expected 1KiB to 1GiB");
        Err(layers.error("fetch.max_body", message))
    }

    /// Checks that a dataset does not make more shards than a plan can hold.
    pub(super) fn check_shards(
        &self,
        interval: Interval,
        dataset: &Dataset,
        has_filter: bool,
        layers: &Layers,
    ) -> Result<(), ConfigError> {
        let ShardWidthText::Fixed(width) = self.shard else { return Ok(()) };
        let width = dataset.widest_shard(width.0, has_filter);
        if dataset.snapshot || interval.width().as_millis() / width.as_millis() <= MOST_SHARDS {
            return Ok(());
        }
        let message = format!(
            "shards of {width:?} of {} divide {interval} into more than {MOST_SHARDS} shards: \
             give a greater width, or a shorter interval",
            dataset.name
        );
        Err(layers.error("fetch.shard", message))
    }
}
