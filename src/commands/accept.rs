//! `accept`: records that a person accepts the gaps of an interval, which can never be closed.

use crate::{
    commands::gaps::Gap,
    config::BackfillScope,
    error::Error,
    ledger::{
        AcceptedInterval, LEDGER, Ledger,
        reader::{DatasetRecords, Snapshot},
    },
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
    let gaps = gaps_within(job, &Snapshot::read(&path)?, accepted);
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

/// The failed, doubtful and missing parts of the accepted interval. What the job does not request,
/// or the platform does not have yet, is not missing.
fn gaps_within(job: &BackfillScope, ledger: &Snapshot, accepted: &AcceptedInterval) -> Vec<Gap> {
    let no_records = DatasetRecords::default();
    let records = ledger.datasets.get(&accepted.dataset).unwrap_or(&no_records);
    let committed: Vec<Interval> = records.shards.iter().map(|shard| shard.interval).collect();
    let mut gaps = Vec::new();
    for failure in &records.failures {
        for interval in failure.interval.subtract(&committed) {
            gaps.push(Gap { interval, ..failure.clone().into() });
        }
    }
    gaps.extend(records.doubtful.iter().cloned().map(Gap::from));
    if let Some(dataset) = job.datasets.iter().find(|dataset| dataset.name == accepted.dataset) {
        let failed = records.failures.iter().map(|failure| failure.interval);
        let known: Vec<_> = committed.into_iter().chain(failed).collect();
        let requested = dataset.requested(job.interval, job.now);
        for interval in requested.map_or(Vec::new(), |requested| requested.subtract(&known)) {
            gaps.push(Gap::missing(&dataset.name, interval));
        }
    }
    let part = |gap: Gap| Some(Gap { interval: gap.interval.intersect(accepted.interval)?, ..gap });
    gaps.into_iter().filter_map(part).collect()
}
