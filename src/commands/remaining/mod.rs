//! What is left to do: requested − committed − failed (G1), and what that will cost.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use crate::{
    catalog::Dataset,
    commands::{
        estimate::{self, Estimate},
        gaps::TimeSpan,
    },
    config::Config,
    error::Error,
    fetch::{FetchSettings, ShardSizing, request_count, request_count_by_id},
    ledger::{DoubtfulInterval, Failure, FollowUp, LEDGER, Ledger, RowStats},
    planning::{self, Plan, Shard},
    time::interval::Interval,
};

/// What a run fetches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// What no run has fetched yet, and then what failed in earlier runs, unless it is accepted.
    Missing,
    /// What failed in earlier runs or is doubtful, accepted or not, and what was accepted without
    /// ever being fetched.
    Failed,
    /// The interval of the configuration, whatever is committed, failed or accepted of it.
    Again,
}

/// The shards that are left to fetch.
///
/// # Errors
/// If the ledger cannot be read.
pub fn plan(config: &Config, scope: Scope, ledger: &Ledger) -> Result<Plan, Error> {
    let mut plan = Plan::new(config.newest_first);
    for dataset in &config.datasets {
        let row_stats = RowStats::read(ledger, &dataset.name)?;
        let stale = stale(config, scope, ledger, dataset)?;
        add_replacements(&mut plan, config, dataset, &row_stats, &stale.whole);
        add_follow_ups(&mut plan, dataset, &stale.by_id);
        let missing = missing(config, ledger, dataset)?;
        let unaccepted = without_accepted(&missing, ledger, dataset)?;
        let new = match scope {
            Scope::Missing => unaccepted,
            Scope::Failed => {
                missing.iter().flat_map(|interval| interval.subtract(&unaccepted)).collect()
            }
            Scope::Again => uncommitted(config, ledger, dataset)?,
        };
        add_new(&mut plan, config, dataset, &row_stats, &new);
    }
    plan.begin_phase();
    for dataset in &config.datasets {
        let failed = intervals_of(&failed(config, ledger, dataset)?);
        let retried = match scope {
            Scope::Missing => without_accepted(&failed, ledger, dataset)?,
            Scope::Failed => failed,
            // it is among what is not committed
            Scope::Again => Vec::new(),
        };
        let row_stats = RowStats::read(ledger, &dataset.name)?;
        add_new(&mut plan, config, dataset, &row_stats, &retried);
    }
    Ok(plan)
}

/// Adds committed intervals whose records are to be replaced.
fn add_replacements(
    plan: &mut Plan,
    config: &Config,
    dataset: &Arc<Dataset>,
    row_stats: &RowStats,
    intervals: &[Interval],
) {
    let shard = |interval| Shard::new(Arc::clone(dataset), interval, true);
    if planning::is_committed_whole(dataset) {
        plan.add_parts(intervals.iter().map(|&interval| (shard(interval), vec![interval])));
    } else {
        let sizing = sizing(config, dataset, row_stats);
        let joined = Interval::joined(intervals).into_iter();
        plan.add_parts(joined.map(|interval| (shard(interval), sizing.shards(interval))));
    }
}

/// Adds committed shards whose open rows are requested by id.
fn add_follow_ups(plan: &mut Plan, dataset: &Arc<Dataset>, follow_ups: &[FollowUp]) {
    plan.add_parts(follow_ups.iter().map(|&FollowUp { interval, open_rows, .. }| {
        let shard = Shard::new(Arc::clone(dataset), interval, true);
        (Shard { open_rows: Some(open_rows), ..shard }, vec![interval])
    }));
}

/// Adds intervals that are not committed.
fn add_new(
    plan: &mut Plan,
    config: &Config,
    dataset: &Arc<Dataset>,
    row_stats: &RowStats,
    intervals: &[Interval],
) {
    let sizing = sizing(config, dataset, row_stats);
    plan.add_parts(intervals.iter().map(|&interval| {
        let shards = match dataset.snapshot {
            true => vec![interval],
            false => sizing.shards(interval),
        };
        (Shard::new(Arc::clone(dataset), interval, false), shards)
    }));
}

fn without_accepted(
    intervals: &[Interval],
    ledger: &Ledger,
    dataset: &Dataset,
) -> Result<Vec<Interval>, Error> {
    let accepted = ledger.accepted(&dataset.name)?;
    let accepted: Vec<_> = accepted.iter().map(|accepted| accepted.interval).collect();
    Ok(intervals.iter().flat_map(|interval| interval.subtract(&accepted)).collect())
}

/// What decides how wide the shards of a dataset are. It assumes that jobs have all data.
pub(crate) fn sizing<'a>(
    config: &'a Config,
    dataset: &'a Arc<Dataset>,
    row_stats: &'a RowStats,
) -> ShardSizing<'a> {
    ShardSizing {
        dataset,
        settings: &config.fetch,
        has_filter: !config.filter(&dataset.name).is_empty(),
        row_stats,
        job_data_until_ms: i64::MAX,
    }
}

/// The requested interval of a dataset, as far as the platform has all of it. `None` if it has
/// nothing of it yet.
fn requested(config: &Config, dataset: &Dataset) -> Option<Interval> {
    let requested = dataset.requested(config.interval, config.now)?;
    // a snapshot is of today, whatever the job says, but no earlier day can be taken again
    let is_of_job = config.interval == config.job_interval;
    Some(requested).filter(|requested| is_of_job || requested.overlaps(config.interval))
}

/// The committed intervals that are to be fetched again.
struct Stale {
    /// Those of which all rows are requested.
    whole: Vec<Interval>,
    /// Those of which only the open rows are requested, by id.
    by_id: Vec<FollowUp>,
}

/// The committed intervals that are to be fetched again: those whose replacement failed or was
/// interrupted, and by the scope those that a refresh covers or that have open rows, or those that
/// are doubtful. If an interval is fetched again, they are those of that interval alone.
fn stale(
    config: &Config,
    scope: Scope,
    ledger: &Ledger,
    dataset: &Dataset,
) -> Result<Stale, Error> {
    let mut whole = match scope {
        Scope::Missing | Scope::Failed => BTreeSet::from_iter(ledger.stale(&dataset.name)?),
        Scope::Again => BTreeSet::new(),
    };
    if let Some(requested) = requested(config, dataset) {
        let again: Vec<Interval> = match scope {
            Scope::Missing => last_part(requested, config.refresh).into_iter().collect(),
            Scope::Failed => {
                doubtful(config, ledger, dataset)?.iter().map(|doubt| doubt.interval).collect()
            }
            Scope::Again => vec![requested],
        };
        let again = Interval::joined(&again);
        let committed = ledger.committed(&dataset.name)?.into_iter();
        whole.extend(committed.filter(|interval| !interval.overlapping(&again).is_empty()));
    }
    let mut by_id = Vec::new();
    if scope == Scope::Missing {
        let doubtful = ledger.doubtful(&dataset.name)?.into_iter().map(|doubt| doubt.interval);
        let doubtful = Interval::joined(&Vec::from_iter(doubtful));
        for follow_up in due_follow_ups(config, ledger, dataset)? {
            let interval = follow_up.interval;
            if whole.contains(&interval) {
                continue;
            }
            let is_doubtful = !interval.overlapping(&doubtful).is_empty();
            if !is_doubtful && is_cheaper_by_id(&config.fetch, dataset, &follow_up) {
                by_id.push(follow_up);
            } else {
                whole.insert(interval);
            }
        }
    }
    Ok(Stale { whole: whole.into_iter().collect(), by_id })
}

/// Whether fewer requests return the open rows of a shard by their ids than all its rows.
fn is_cheaper_by_id(fetch: &FetchSettings, dataset: &Dataset, follow_up: &FollowUp) -> bool {
    let by_id = request_count_by_id(dataset, follow_up.open_rows, fetch.page_size);
    let whole = request_count(dataset.endpoint(), Some(follow_up.rows), fetch.page_size);
    // rows that are returned by id lack the columns that only a job brings
    follow_up.open_rows > 0
        && !dataset.has_extras()
        && by_id.is_some_and(|by_id| whole.is_none_or(|whole| by_id < whole))
}

/// The committed shards with open rows that are due to be fetched again and not older than
/// `job.follow_open`, requested or not.
fn due_follow_ups(
    config: &Config,
    ledger: &Ledger,
    dataset: &Dataset,
) -> Result<Vec<FollowUp>, Error> {
    let follow_open = i64::try_from(config.follow_open.as_millis()).unwrap_or(i64::MAX);
    let oldest_ms = config.now.saturating_sub(follow_open);
    let follow_ups = ledger.follow_ups(&dataset.name)?.into_iter();
    let due = follow_ups.filter(|follow_up| {
        follow_up.next_ms <= config.now && follow_up.interval.to_ms() > oldest_ms
    });
    Ok(due.collect())
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
        for interval in part.subtract(part.overlapping(&committed)) {
            failed.push(Failure { interval, ..failure.clone() });
        }
    }
    Ok(failed)
}

/// The parts of the requested interval that are committed, but doubtful.
///
/// # Errors
/// If the ledger cannot be read.
pub(crate) fn doubtful(
    config: &Config,
    ledger: &Ledger,
    dataset: &Dataset,
) -> Result<Vec<DoubtfulInterval>, Error> {
    let Some(requested) = requested(config, dataset) else { return Ok(Vec::new()) };
    let mut doubtful = Vec::new();
    for doubt in ledger.doubtful(&dataset.name)? {
        if let Some(interval) = doubt.interval.intersect(requested) {
            doubtful.push(DoubtfulInterval { interval, ..doubt });
        }
    }
    Ok(doubtful)
}

/// The parts of the requested interval that are not committed.
fn uncommitted(
    config: &Config,
    ledger: &Ledger,
    dataset: &Dataset,
) -> Result<Vec<Interval>, Error> {
    let committed = ledger.committed(&dataset.name)?;
    let requested = requested(config, dataset);
    Ok(requested.map_or(Vec::new(), |requested| requested.subtract(&committed)))
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
pub fn estimate_plan(
    config: &Config,
    plan: &Plan,
    ledger: &Ledger,
) -> Result<BTreeMap<String, Estimate>, Error> {
    let mut estimates = BTreeMap::new();
    for dataset in &config.datasets {
        let shards = plan.shards().filter(|shard| shard.dataset.name == dataset.name);
        let row_stats = RowStats::read(ledger, &dataset.name)?;
        let sizing = sizing(config, dataset, &row_stats);
        let estimate = estimate::estimate(shards, &sizing, &config.quota_settings);
        let not_yet_available = dataset.not_yet_available(config.interval, config.now);
        let not_yet_available = not_yet_available.map(TimeSpan::from);
        estimates.insert(dataset.name.clone(), Estimate { not_yet_available, ..estimate });
    }
    Ok(estimates)
}

#[cfg(test)]
mod tests;
