//! What is left to do: requested − committed − failed (G1), and what that will cost.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use crate::{
    catalog::Dataset,
    commands::estimate::{self, Estimate},
    config::Config,
    error::Error,
    ledger::{DoubtfulInterval, Failure, LEDGER, Ledger, RowStats},
    planning::{self, Plan, Shard},
    time::interval::Interval,
};

/// What a run fetches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// What no run has fetched yet, and then what failed in earlier runs, unless it is accepted.
    Missing,
    /// What failed in earlier runs or is doubtful, accepted or not, and nothing else.
    Failed,
}

/// The shards that are left to fetch.
///
/// # Errors
/// If the ledger cannot be read.
pub(crate) fn plan(config: &Config, scope: Scope, ledger: &Ledger) -> Result<Plan, Error> {
    let mut plan = Plan::new(config.newest_first);
    for dataset in &config.datasets {
        add_replacements(&mut plan, config, dataset, &stale(config, scope, ledger, dataset)?);
        if scope == Scope::Missing {
            add_new(&mut plan, config, dataset, &missing(config, ledger, dataset)?);
        }
    }
    plan.begin_phase();
    for dataset in &config.datasets {
        let failed = intervals_of(&failed(config, ledger, dataset)?);
        let retried = match scope {
            Scope::Missing => without_accepted(&failed, ledger, dataset)?,
            Scope::Failed => failed,
        };
        add_new(&mut plan, config, dataset, &retried);
    }
    Ok(plan)
}

/// Adds committed intervals whose records are to be replaced.
fn add_replacements(
    plan: &mut Plan,
    config: &Config,
    dataset: &Arc<Dataset>,
    intervals: &[Interval],
) {
    let shard = |interval| Shard { dataset: Arc::clone(dataset), interval, replaces: true };
    if planning::is_committed_whole(dataset) {
        for &interval in intervals {
            plan.add_whole(&shard(interval));
        }
    } else {
        let width = shard_width(config, dataset);
        for interval in Interval::joined(intervals) {
            plan.add(&shard(interval), width);
        }
    }
}

/// Adds intervals that are not committed.
fn add_new(plan: &mut Plan, config: &Config, dataset: &Arc<Dataset>, intervals: &[Interval]) {
    let width = shard_width(config, dataset);
    for &interval in intervals {
        let shard = Shard { dataset: Arc::clone(dataset), interval, replaces: false };
        if dataset.snapshot {
            plan.add_whole(&shard);
        } else {
            plan.add(&shard, width);
        }
    }
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

/// The committed intervals that are to be fetched again: those whose replacement failed or was
/// interrupted, and by the scope those that a refresh covers or those that are doubtful.
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
    let Some(requested) = requested(config, dataset) else { return Ok(stale) };
    let again: Vec<Interval> = match scope {
        Scope::Missing => last_part(requested, config.refresh).into_iter().collect(),
        Scope::Failed => {
            doubtful(config, ledger, dataset)?.iter().map(|doubt| doubt.interval).collect()
        }
    };
    for interval in ledger.committed(&dataset.name)? {
        if again.iter().any(|part| part.overlaps(interval)) && !stale.contains(&interval) {
            stale.push(interval);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::Overrides,
        ledger::{AcceptedInterval, Counts, GapKind, ShardRecord},
    };

    /// Four days from the sandbox.
    fn config() -> Config {
        let keys = [
            "source.region=sandbox",
            "job.from=2024-01-01T00:00:00Z",
            "job.to=2024-01-05T00:00:00Z",
            "job.datasets=['conversations']",
            "fetch.shard=1d",
        ];
        let set = keys.map(str::to_owned).to_vec();
        Config::load(&Overrides { set, ..Overrides::default() }).unwrap().remove(0)
    }

    fn day(number: i64) -> Interval {
        let first: Interval = "2024-01-01T00:00:00Z/2024-01-02T00:00:00Z".parse().unwrap();
        let offset = (number - 1) * 86_400_000;
        Interval::new(first.from_ms() + offset, first.to_ms() + offset).unwrap()
    }

    /// The first day failed, the second is committed but doubtful, the others are missing.
    fn ledger() -> Ledger {
        let ledger = Ledger::in_memory().unwrap();
        let dataset = || "conversations".to_owned();
        let record = ShardRecord {
            dataset: dataset(),
            interval: day(2),
            counts: Counts::default(),
            files: Vec::new(),
            commit_id: "c".to_owned(),
            open_rows: 0,
        };
        ledger.commit(&[record], &[], false).unwrap();
        let (reason, correlation) = ("too slow".to_owned(), String::new());
        let failure = Failure { dataset: dataset(), interval: day(1), reason, correlation };
        ledger.fail(&failure).unwrap();
        let (kind, reason) = (GapKind::Quarantined, "1 row".to_owned());
        let doubtful = DoubtfulInterval { dataset: dataset(), interval: day(2), kind, reason };
        ledger.record_doubt(&doubtful).unwrap();
        ledger
    }

    /// The shards of a run in order, and whether they replace committed ones.
    fn planned(scope: Scope, ledger: &Ledger) -> Vec<(Interval, bool)> {
        let plan = plan(&config(), scope, ledger).unwrap();
        plan.shards().map(|shard| (shard.interval, shard.replaces)).collect()
    }

    fn accept(ledger: &Ledger, interval: Interval) {
        let (dataset, reason) = ("conversations".to_owned(), "lost".to_owned());
        ledger.accept(&AcceptedInterval { dataset, interval, reason }).unwrap();
    }

    #[test]
    fn a_run_fetches_what_is_new_and_then_what_failed_before_once() {
        let expected = [(day(3), false), (day(4), false), (day(1), false)];
        assert_eq!(planned(Scope::Missing, &ledger()), expected);
    }

    #[test]
    fn retry_failed_fetches_failed_and_doubtful_intervals_alone() {
        assert_eq!(planned(Scope::Failed, &ledger()), [(day(2), true), (day(1), false)]);
    }

    #[test]
    fn only_retry_failed_fetches_an_accepted_interval_again() {
        let ledger = ledger();
        accept(&ledger, day(1));
        assert_eq!(planned(Scope::Missing, &ledger), [(day(3), false), (day(4), false)]);
        assert!(planned(Scope::Failed, &ledger).contains(&(day(1), false)));
    }
}
