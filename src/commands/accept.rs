//! `accept`: records that a person accepts the gaps of an interval, which can never be closed.

use crate::{
    commands::gaps::Gap,
    config::BackfillScope,
    error::Error,
    ledger::{AcceptedInterval, LEDGER, Ledger, reader::Snapshot},
    sink::lock::OutputLock,
    time::interval::Interval,
};

/// Records in the ledger of `job` that the gaps of `accepted` are accepted, and returns them. They
/// stay visible, but do not change an exit code, and a plain run does not fetch them again.
///
/// # Errors
/// If there is no ledger, a run is active, or the interval has no gap.
pub(crate) fn accept(job: &BackfillScope, accepted: &AcceptedInterval) -> Result<Vec<Gap>, Error> {
    let path = job.output.join(LEDGER);
    let gaps = gaps_within(&Snapshot::read(&path)?, accepted);
    if gaps.is_empty() {
        return Err(Error::NothingToAccept {
            dataset: accepted.dataset.clone(),
            interval: accepted.interval,
        });
    }
    let _lock = OutputLock::take(&job.output)?;
    Ledger::open(&path)?.accept(accepted)?;
    Ok(gaps)
}

/// The failed and doubtful parts of the accepted interval.
fn gaps_within(ledger: &Snapshot, accepted: &AcceptedInterval) -> Vec<Gap> {
    let Some(records) = ledger.datasets.get(&accepted.dataset) else { return Vec::new() };
    let committed: Vec<Interval> = records.shards.iter().map(|shard| shard.interval).collect();
    let mut gaps = Vec::new();
    for failure in &records.failures {
        for interval in failure.interval.subtract(&committed) {
            gaps.push(Gap { interval, ..failure.clone().into() });
        }
    }
    gaps.extend(records.doubtful.iter().cloned().map(Gap::from));
    let part = |gap: Gap| Some(Gap { interval: gap.interval.intersect(accepted.interval)?, ..gap });
    gaps.into_iter().filter_map(part).collect()
}
