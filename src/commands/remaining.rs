//! What is left to do: requested − committed − failed (G1), and what that will cost.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use crate::{
    catalog::Dataset,
    commands::estimate::{self, Estimate},
    config::Config,
    error::Error,
    ledger::{Failure, LEDGER, Ledger, RowStats},
    planning::{self, Plan, Shard},
    time::interval::Interval,
};

/// What a run fetches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// What is neither committed nor failed.
    Missing,
    /// What failed in earlier runs, and nothing else.
    Failed,
}

/// The shards that are left to fetch.
///
/// # Errors
/// If the ledger cannot be read.
pub(crate) fn plan(config: &Config, scope: Scope, ledger: &Ledger) -> Result<Plan, Error> {
    let mut plan = Plan::new(config.newest_first);
    for dataset in &config.datasets {
        let width = shard_width(config, dataset);
        let stale = stale(config, scope, ledger, dataset)?;
        if planning::is_committed_whole(dataset) {
            for interval in stale {
                plan.add_whole(&Shard { dataset: Arc::clone(dataset), interval, replaces: true });
            }
        } else {
            for interval in Interval::joined(&stale) {
                let shard = Shard { dataset: Arc::clone(dataset), interval, replaces: true };
                plan.add(&shard, width);
            }
        }
        let intervals = match scope {
            Scope::Failed => intervals_of(&failed(config, ledger, dataset)?),
            Scope::Missing => missing(config, ledger, dataset)?,
        };
        for interval in intervals {
            let shard = Shard { dataset: Arc::clone(dataset), interval, replaces: false };
            if dataset.snapshot {
                plan.add_whole(&shard);
            } else {
                plan.add(&shard, width);
            }
        }
    }
    Ok(plan)
}

/// The widest shard of a dataset that both the configuration and the platform allow.
fn shard_width(config: &Config, dataset: &Dataset) -> Duration {
    let has_filter = !config.filter(&dataset.name).is_empty();
    let widest = dataset.endpoints().map(|endpoint| endpoint.widest[usize::from(has_filter)]).min();
    dataset.shard(config.fetch.shard.min(widest.unwrap_or(Duration::MAX)))
}

/// The requested interval of a dataset, as far as the platform has all of it. `None` if it has
/// nothing of it yet.
fn requested(config: &Config, dataset: &Dataset) -> Option<Interval> {
    dataset.requested(config.interval, config.now)
}

/// The committed intervals that are to be fetched again: those at the end of the requested interval
/// that a refresh covers, and those whose replacement failed or was interrupted.
fn stale(
    config: &Config,
    scope: Scope,
    ledger: &Ledger,
    dataset: &Dataset,
) -> Result<Vec<Interval>, Error> {
    let mut stale = ledger.stale(&dataset.name)?;
    if scope == Scope::Missing {
        for interval in due_follow_ups(config, ledger, dataset)? {
            if !stale.contains(&interval) {
                stale.push(interval);
            }
        }
    }
    let refreshed = match scope {
        Scope::Missing => requested(config, dataset).and_then(|all| last_part(all, config.refresh)),
        Scope::Failed => None,
    };
    if let Some(refreshed) = refreshed {
        for interval in ledger.committed(&dataset.name)? {
            if refreshed.overlaps(interval) && !stale.contains(&interval) {
                stale.push(interval);
            }
        }
    }
    Ok(stale)
}

/// The committed shards with open rows that are due to be fetched again and not older than
/// `job.follow_open`, requested or not.
fn due_follow_ups(
    config: &Config,
    ledger: &Ledger,
    dataset: &Dataset,
) -> Result<Vec<Interval>, Error> {
    let follow_open = i64::try_from(config.follow_open.as_millis()).unwrap_or(i64::MAX);
    let oldest_ms = config.now.saturating_sub(follow_open);
    let follow_ups = ledger.follow_ups(&dataset.name)?.into_iter();
    let due = follow_ups.filter(|follow_up| {
        follow_up.next_ms <= config.now && follow_up.interval.to_ms() > oldest_ms
    });
    Ok(due.map(|follow_up| follow_up.interval).collect())
}

/// The last `width` of an interval. `None` if `width` is zero.
fn last_part(interval: Interval, width: Duration) -> Option<Interval> {
    let width = i64::try_from(width.as_millis()).unwrap_or(i64::MAX);
    let from = interval.to_ms().saturating_sub(width).max(interval.from_ms());
    Interval::new(from, interval.to_ms())
}

/// The parts of the requested interval that failed and were not committed since.
///
/// # Errors
/// If the ledger cannot be read.
pub(crate) fn failed(
    config: &Config,
    ledger: &Ledger,
    dataset: &Dataset,
) -> Result<Vec<Failure>, Error> {
    let Some(requested) = requested(config, dataset) else { return Ok(Vec::new()) };
    let committed = ledger.committed(&dataset.name)?;
    let mut failed = Vec::new();
    for failure in ledger.failures(&dataset.name)? {
        let Some(part) = requested.intersect(failure.interval) else { continue };
        for interval in part.subtract(&committed) {
            failed.push(Failure { interval, ..failure.clone() });
        }
    }
    Ok(failed)
}

/// The parts of the requested interval that are neither committed nor failed.
///
/// # Errors
/// If the ledger cannot be read.
pub(crate) fn missing(
    config: &Config,
    ledger: &Ledger,
    dataset: &Dataset,
) -> Result<Vec<Interval>, Error> {
    let Some(requested) = requested(config, dataset) else { return Ok(Vec::new()) };
    let mut known = ledger.committed(&dataset.name)?;
    known.extend(intervals_of(&failed(config, ledger, dataset)?));
    Ok(requested.subtract(&known))
}

fn intervals_of(failures: &[Failure]) -> Vec<Interval> {
    failures.iter().map(|failure| failure.interval).collect()
}

/// The cost of a run by dataset, as far as the ledger knows. Sends no request.
///
/// # Errors
/// If the ledger cannot be read, or belongs to another job.
pub fn estimate(config: &Config) -> Result<BTreeMap<String, Estimate>, Error> {
    let path = config.output.join(LEDGER);
    let ledger = if path.exists() { Ledger::open(&path)? } else { Ledger::in_memory()? };
    ledger.check_identity(&config.output_identity())?;
    estimate_plan(config, &plan(config, Scope::Missing, &ledger)?, &ledger)
}

/// The cost of the shards of `plan`, by dataset.
///
/// # Errors
/// If the ledger cannot be read.
pub(crate) fn estimate_plan(
    config: &Config,
    plan: &Plan,
    ledger: &Ledger,
) -> Result<BTreeMap<String, Estimate>, Error> {
    let mut estimates = BTreeMap::new();
    for dataset in &config.datasets {
        let shards = plan.shards().filter(|shard| shard.dataset.name == dataset.name);
        let row_stats = RowStats::read(ledger, &dataset.name)?;
        let estimate =
            estimate::estimate(shards, &row_stats, &config.fetch, &config.quota_settings);
        estimates.insert(dataset.name.clone(), estimate);
    }
    Ok(estimates)
}
