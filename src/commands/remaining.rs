//! What is left to do: requested − committed − set aside (G1), and what it will cost.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use crate::{
    catalog::Dataset,
    commands::estimate::{self, Estimate},
    config::Config,
    error::Error,
    ledger::{Failure, LEDGER, Ledger, RowStats},
    planning::{Plan, Shard},
    time::interval::Interval,
};

/// Which part of what is missing a run takes up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// What no run has tried to the end.
    Missing,
    /// What earlier runs set aside, and nothing else.
    Failed,
}

/// The shards of what is left to do.
///
/// # Errors
/// Where the ledger cannot be read.
pub(crate) fn plan(config: &Config, scope: Scope, ledger: &Ledger) -> Result<Plan, Error> {
    let mut plan = Plan::new(config.newest_first);
    for dataset in &config.datasets {
        let widest = dataset
            .endpoints()
            .map(|endpoint| endpoint.widest[usize::from(!config.filter(&dataset.name).is_empty())])
            .min();
        let left = match scope {
            Scope::Failed => {
                gaps(config, ledger, dataset)?.into_iter().map(|gap| gap.interval).collect()
            }
            Scope::Missing => untried(config, ledger, dataset)?,
        };
        for interval in stale(config, scope, ledger, dataset)? {
            plan.add_whole(&Shard { dataset: Arc::clone(dataset), interval, replaces: true });
        }
        for interval in left {
            let shard = Shard { dataset: Arc::clone(dataset), interval, replaces: false };
            match dataset.snapshot {
                true => plan.add_whole(&shard),
                false => plan.add(
                    &shard,
                    dataset.shard(config.fetch.shard.min(widest.unwrap_or(Duration::MAX))),
                ),
            }
        }
    }
    Ok(plan)
}

/// The time of a dataset that is requested, as far as the platform has all of it.
fn requested(config: &Config, dataset: &Dataset) -> Option<Interval> {
    dataset.requested(config.interval, config.now)
}

/// What is committed and is to be fetched again: the end of the requested interval, where a refresh
/// is wanted, and what a killed refresh has left.
fn stale(
    config: &Config,
    scope: Scope,
    ledger: &Ledger,
    dataset: &Dataset,
) -> Result<Vec<Interval>, Error> {
    let refresh = i64::try_from(config.refresh.as_millis()).unwrap_or(i64::MAX);
    let end = |requested: Interval| {
        let since = requested.to_ms().saturating_sub(refresh).max(requested.from_ms());
        Interval::new(since, requested.to_ms())
    };
    let window = requested(config, dataset).and_then(end).filter(|_| scope == Scope::Missing);
    let mut stale = ledger.stale(&dataset.name)?;
    for interval in ledger.committed(&dataset.name)? {
        if window.is_some_and(|window| window.overlaps(interval)) && !stale.contains(&interval) {
            stale.push(interval);
        }
    }
    Ok(stale)
}

/// What was set aside of the requested interval and is not committed since.
///
/// # Errors
/// Where the ledger cannot be read.
pub(crate) fn gaps(
    config: &Config,
    ledger: &Ledger,
    dataset: &Dataset,
) -> Result<Vec<Failure>, Error> {
    let committed = ledger.committed(&dataset.name)?;
    let requested = requested(config, dataset);
    let failures = ledger.failures(&dataset.name)?.into_iter();
    Ok(failures
        .filter_map(|failure| Some((requested?.intersect(failure.interval)?, failure)))
        .flat_map(|(interval, failure)| {
            let left = interval.subtract(&committed).into_iter();
            left.map(move |interval| Failure { interval, ..failure.clone() })
        })
        .collect())
}

/// What of the requested interval is neither committed nor set aside.
///
/// # Errors
/// Where the ledger cannot be read.
pub(crate) fn untried(
    config: &Config,
    ledger: &Ledger,
    dataset: &Dataset,
) -> Result<Vec<Interval>, Error> {
    let failed: Vec<_> =
        gaps(config, ledger, dataset)?.into_iter().map(|gap| gap.interval).collect();
    let settled = [ledger.committed(&dataset.name)?, failed].concat();
    Ok(requested(config, dataset).map_or(Vec::new(), |requested| requested.subtract(&settled)))
}

/// What a run would cost, by dataset, as far as the ledger knows. Asks nobody.
///
/// # Errors
/// Where there is a ledger that cannot be read, or one of another job.
pub fn estimate(config: &Config) -> Result<BTreeMap<String, Estimate>, Error> {
    let path = config.output.join(LEDGER);
    let ledger = if path.exists() { Ledger::open(&path)? } else { Ledger::in_memory()? };
    ledger.belongs(&config.output_identity())?;
    expect(config, &plan(config, Scope::Missing, &ledger)?, &ledger)
}

/// What the shards of `plan` will cost, by dataset.
///
/// # Errors
/// Where the ledger cannot be read.
pub(crate) fn expect(
    config: &Config,
    plan: &Plan,
    ledger: &Ledger,
) -> Result<BTreeMap<String, Estimate>, Error> {
    let estimate = |dataset: &Arc<Dataset>| {
        let shards = plan.shards().filter(|shard| shard.dataset.name == dataset.name);
        let known = RowStats::read(ledger, &dataset.name)?;
        Ok((
            dataset.name.clone(),
            estimate::estimate(shards, &known, &config.fetch, &config.quota_settings),
        ))
    };
    config.datasets.iter().map(estimate).collect()
}
