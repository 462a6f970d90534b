//! Totals by hour and media type of the commits whose rows are stored in tables alone. The hour is
//! that of each row.

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    catalog::{Catalog, Dataset},
    commands::rebuild::commits::Candidate,
    ledger::{HourRecord, ShardRecord},
    sink::{CommittedDay, DayError, hour_sums::HourSums, store::OutputStore},
    system::blocking::offload,
};

/// The sums of the commits that have tables but no nested rows, by dataset and start. If the tables
/// of a commit cannot be read, a warning names the commit, and its sums are left out.
pub(super) async fn of_commits(
    output: &OutputStore,
    catalog: &Catalog,
    commits: &[Candidate],
) -> BTreeMap<(String, i64), Vec<HourRecord>> {
    let mut sums = BTreeMap::new();
    for Candidate { record, .. } in commits {
        let Some(dataset) = catalog.datasets.get(&record.dataset) else { continue };
        if record.files.is_empty() || record.nested_files().next().is_some() {
            continue;
        }
        match of_commit(output, dataset, record).await {
            Ok(of_commit) => {
                let key = (record.dataset.clone(), record.interval.from_ms());
                sums.insert(key, of_commit.into_records());
            }
            Err(error) => tracing::warn!(
                dataset = record.dataset, interval = %record.interval, %error,
                "the rows are not summed by hour and media type, since they cannot be read"
            ),
        }
    }
    sums
}

async fn of_commit(
    output: &OutputStore,
    dataset: &Arc<Dataset>,
    record: &ShardRecord,
) -> Result<HourSums, DayError> {
    let mut sums = HourSums::default();
    for day in CommittedDay::of(&record.files) {
        let (open, dataset) = (day.open(output).await?, Arc::clone(dataset));
        let of_day = offload(move || {
            let mut sums = HourSums::default();
            open.for_each_batch(&dataset, |rows| {
                sums.add(&dataset, &rows);
                Ok::<_, DayError>(())
            })?;
            Ok::<_, DayError>(sums)
        });
        sums.append(&of_day.await?);
    }
    Ok(sums)
}
