//! `drop`: forgets an interval, its files and its record, so that the next run fetches it again.
//!
//! One transaction for each dataset takes the records out of the ledger and records their files as
//! garbage; then the files are deleted. A process that is killed in between leaves garbage, which
//! the next command that writes deletes (G3). Start with [`DropPlan::prepare`].

use crate::{
    commands::locked_output::LockedOutput,
    config::{BackfillScope, ConfigError},
    error::Error,
    sink::clean_up,
    system::blocking::offload,
    time::interval::{Interval, iso},
};

/// What is to be dropped of a dataset.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct DatasetDrop {
    /// The name of the dataset.
    pub name: String,
    /// Committed intervals.
    pub shards: usize,
    /// Their files, those of the quarantine included, with their rows and bytes.
    pub files: u64,
    pub rows: u64,
    pub bytes: u64,
    /// Failures and acceptances, all or in part.
    pub gaps: usize,
}

/// A drop that is about to start. The output is locked, and nothing is changed yet.
pub(crate) struct DropPlan {
    /// The datasets that have something in the interval.
    pub datasets: Vec<DatasetDrop>,
    interval: Interval,
    output: LockedOutput,
}

impl DropPlan {
    /// Finds out what is to be dropped: of all datasets of the output, or of `only` these.
    ///
    /// # Errors
    /// If a committed interval would be cut, if the output has no dataset of a name, or if another
    /// process writes to the output.
    pub(crate) async fn prepare(
        scope: &BackfillScope,
        only: &[String],
        interval: Interval,
    ) -> Result<Self, Error> {
        let output = LockedOutput::open(scope, only).await?;
        let mut datasets = Vec::new();
        for (name, records) in &output.wanted {
            let mut dropped =
                DatasetDrop { name: name.clone(), shards: 0, files: 0, rows: 0, bytes: 0, gaps: 0 };
            for shard in records.shards.iter().filter(|shard| shard.interval.overlaps(interval)) {
                refuse_cut(name, shard.interval, interval)?;
                dropped.shards += 1;
                dropped.rows += shard.counts.written + shard.counts.quarantined;
                for file in &shard.files {
                    dropped.files += 1;
                    dropped.bytes += file.bytes;
                }
            }
            let failed = records.failures.iter().map(|failure| failure.interval);
            let accepted = records.accepted.iter().map(|accepted| accepted.interval);
            let gaps = failed.chain(accepted);
            dropped.gaps = gaps.filter(|gap| gap.overlaps(interval)).count();
            if dropped.shards + dropped.gaps > 0 {
                datasets.push(dropped);
            }
        }
        Ok(Self { datasets, interval, output })
    }

    /// Drops the interval.
    ///
    /// # Errors
    /// If the ledger cannot be written or a file cannot be deleted. The next command that writes to
    /// the output deletes files that are left.
    pub(crate) async fn execute(self) -> Result<(), Error> {
        let Self { datasets, interval, output } = self;
        for DatasetDrop { name, .. } in datasets {
            let ledger = output.ledger.clone();
            offload(move || ledger.forget(&name, interval)).await?;
        }
        clean_up(&output.store, &output.ledger).await?;
        Ok(())
    }
}

/// Refuses an interval that a committed one reaches beyond: its file holds the rows of both parts.
fn refuse_cut(dataset: &str, shard: Interval, interval: Interval) -> Result<(), ConfigError> {
    let (from, to) = (iso(shard.from_ms()), iso(shard.to_ms()));
    let key = if shard.from_ms() < interval.from_ms() {
        "--from"
    } else if shard.to_ms() > interval.to_ms() {
        "--to"
    } else {
        return Ok(());
    };
    let message = format!(
        "it would cut the interval {shard} of {dataset}, which is committed as one: write {from} or \
         {to}"
    );
    Err(ConfigError::at(key, message))
}
