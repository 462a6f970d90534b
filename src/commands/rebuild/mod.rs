//! Makes the ledger anew from the footers of the files.
//!
//! A commit is taken in only if all its files are there. What the ledger records already is kept if
//! its files are unchanged. Files of this program that are not taken in are moved to `_orphaned/`,
//! because a run does not write beside files that the ledger does not know; foreign files stay
//! where they are. Nothing is deleted, and the records change in one transaction. Start with
//! [`rebuild`].

mod commits;
mod scan;
mod table_sums;

use std::collections::{BTreeMap, BTreeSet};

use self::scan::{Scan, ScannedFile};
use crate::{
    catalog::Catalog,
    commands::{output_check::move_to_orphaned, rebuild::commits::Candidate},
    config::BackfillScope,
    error::Error,
    ledger::{
        CHANGING_LAYOUT, Columns, DoubtfulInterval, LAYOUT, LEDGER, Ledger, LedgerError,
        RebuiltRecords, ShardRecord, is_policy_key, is_version_key, policy_key, policy_of,
        reader::Snapshot, version_key,
    },
    sink::{
        Layout, clean_up,
        hour_sums::HourSums,
        lock::OutputLock,
        output_error::OutputError,
        store::{OutputStore, StoreError},
    },
    system::blocking::offload,
    time::{clock, interval::Interval},
};

/// A file that is not taken in.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct LeftOut {
    pub path: String,
    pub reason: String,
    /// Whether this program wrote it. If not, it stays where it is.
    pub is_ours: bool,
}

/// The result of a rebuild.
#[derive(Debug, Default)]
pub(crate) struct Rebuilt {
    /// Commits that the ledger records now.
    pub commits: u64,
    /// Their files.
    pub files: u64,
    /// The rows in these.
    pub rows: u64,
    /// Files that were not taken in, in order.
    pub left_out: Vec<LeftOut>,
    /// Folder of the files of this program that were not taken in. `None` if there are none.
    pub orphaned: Option<String>,
}

/// Makes the ledger of an output anew.
///
/// # Errors
/// If another process writes to the output, or it cannot be read or written.
pub(crate) async fn rebuild(scope: &BackfillScope) -> Result<Rebuilt, Error> {
    if !scope.output.is_dir() {
        return Err(OutputError::Missing(scope.output.display().to_string()).into());
    }
    let output = OutputStore::create(&scope.output, scope.file_mode)?;
    let _lock = OutputLock::take(&scope.output)?;
    let ledger = open_ledger(scope)?;
    clean_up(&output, &ledger).await?;
    let snapshot = Snapshot::read(&scope.output.join(LEDGER))?;
    let Scan { files, mut left_out } = scan::scan(&output, &scope.catalog).await?;
    let candidates = commits::candidates(&scope.catalog, &snapshot, &files, &mut left_out);
    let chosen = choose(candidates, &mut left_out);
    let mut records = records(&chosen, &files, &snapshot, &scope.catalog)?;
    records.sums.extend(table_sums::of_commits(&output, &scope.catalog, &chosen).await);
    leave_out_unused(&chosen, &files, &mut left_out);

    let mut rebuilt = Rebuilt { commits: chosen.len() as u64, ..Rebuilt::default() };
    for Candidate { record, .. } in &chosen {
        rebuilt.files += record.files.len() as u64;
        rebuilt.rows += record.counts.written;
    }
    offload(move || ledger.rebuild(&records)).await?;
    let ours: Vec<_> =
        left_out.iter().filter(|file| file.is_ours).map(|file| file.path.clone()).collect();
    if !ours.is_empty() {
        rebuilt.orphaned = Some(move_to_orphaned(&output, &ours).await?);
    }
    left_out.sort_unstable();
    rebuilt.left_out = left_out;
    Ok(rebuilt)
}

/// Opens the ledger, or creates it if it is missing. A damaged one is renamed first.
fn open_ledger(scope: &BackfillScope) -> Result<Ledger, Error> {
    let path = scope.output.join(LEDGER);
    match Ledger::open(&path) {
        Err(error @ LedgerError::Damaged { .. }) => {
            let time = clock::now().strftime("%Y%m%dT%H%M%SZ");
            let io_error = |source| StoreError::Io { path: path.display().to_string(), source };
            for suffix in ["", "-wal", "-shm"] {
                let from = scope.output.join(format!("{LEDGER}{suffix}"));
                if from.exists() {
                    let to = scope.output.join(format!("{LEDGER}.damaged-{time}{suffix}"));
                    std::fs::rename(&from, to).map_err(io_error)?;
                }
            }
            tracing::warn!(%error, "renamed the ledger and made a new one");
            Ok(Ledger::open(&path)?)
        }
        ledger => Ok(ledger?),
    }
}

/// Chooses commits that do not overlap: of those that do, the newest one.
fn choose(mut candidates: Vec<Candidate>, left_out: &mut Vec<LeftOut>) -> Vec<Candidate> {
    candidates.sort_by_key(|candidate| std::cmp::Reverse(candidate.age_order()));
    let mut committed = BTreeMap::<String, Vec<(Interval, String)>>::new();
    let mut chosen = Vec::new();
    for candidate in candidates {
        let record = &candidate.record;
        let intervals = committed.entry(record.dataset.clone()).or_default();
        match intervals.iter().find(|(other, _)| other.overlaps(record.interval)) {
            Some((other, commit_id)) => {
                let reason = match *commit_id == record.commit_id {
                    true => "it is a copy of a file of the ledger".to_owned(),
                    false => format!("a newer commit of {other} replaced its commit"),
                };
                left_out.extend(record.files.iter().map(|file| LeftOut {
                    path: file.path.clone(),
                    reason: reason.clone(),
                    is_ours: true,
                }));
            }
            None => {
                intervals.push((record.interval, record.commit_id.clone()));
                chosen.push(candidate);
            }
        }
    }
    // a file of two candidates is not left out if one of them is chosen
    let used: BTreeSet<_> = chosen
        .iter()
        .flat_map(|candidate| &candidate.record.files)
        .map(|file| &file.path)
        .collect();
    left_out.retain(|file| !used.contains(&file.path));
    chosen
}

/// What the ledger is to record.
fn records(
    chosen: &[Candidate],
    files: &BTreeMap<String, ScannedFile>,
    snapshot: &Snapshot,
    catalog: &Catalog,
) -> Result<RebuiltRecords, OutputError> {
    let mut records = RebuiltRecords::default();
    let mut origin = BTreeMap::<String, String>::new();
    for (key, value) in &snapshot.identity {
        origin.insert(key.clone(), LEDGER.to_owned());
        records.identity.insert(key.clone(), value.clone());
    }
    for Candidate { record, doubts, tells_doubts, is_recorded } in chosen {
        let mut sums = HourSums::default();
        for file in record.nested_files().filter_map(|file| files.get(&file.path)) {
            sums.append(&file.sums);
        }
        let key = (record.dataset.clone(), record.interval.from_ms());
        // the rows of tables alone are summed afterwards
        if record.files.is_empty() || record.nested_files().next().is_some() {
            records.sums.insert(key.clone(), sums.into_records());
        }
        if *is_recorded {
            records.kept.insert(key);
        } else {
            records.added.push(record.clone());
            let doubts = DoubtfulInterval::list(&record.dataset, record.interval, doubts.clone());
            records.doubts.extend(doubts);
            if *tells_doubts {
                records.told.push((record.dataset.clone(), record.interval));
            }
        }
        for file in &record.files {
            let Some(footer) = files.get(&file.path).and_then(|file| file.footer.as_ref()) else {
                continue;
            };
            let mut job = footer.job.clone();
            // what a file says about the columns of other files may be older than their upgrade
            job.retain(|key, _| !is_version_key(key));
            let version = footer.schema_version;
            job.insert(version_key(&footer.dataset), version.to_string());
            let policy = policy_of(&job, &footer.dataset);
            job.retain(|key, _| !is_policy_key(key));
            job.insert(policy_key(&footer.dataset), policy);
            for (key, value) in job {
                match records.identity.get(&key) {
                    // an upgrade was interrupted: the next one continues from the older version
                    Some(first) if is_version_key(&key) && is_older(first, version) => {}
                    Some(first)
                        if is_version_key(&key)
                            && is_newer(first, version)
                            && origin.get(&key).is_some_and(|origin| origin != LEDGER) =>
                    {
                        origin.insert(key.clone(), file.path.clone());
                        records.identity.insert(key, value);
                    }
                    Some(first) if *first != value => {
                        return Err(OutputError::DifferentJobs {
                            first_path: origin.get(&key).cloned().unwrap_or_default(),
                            first: first.clone(),
                            key,
                            second_path: file.path.clone(),
                            second: value,
                        });
                    }
                    Some(_) => {}
                    None => {
                        origin.insert(key.clone(), file.path.clone());
                        records.identity.insert(key, value);
                    }
                }
            }
            let new = || (version, Columns::default());
            let known = records.columns.entry(footer.dataset.clone()).or_insert_with(new);
            if version < known.0 {
                *known = new();
            }
            if version == known.0 {
                known.1.add(footer.kind(), &footer.schema);
            }
        }
    }
    if !chosen.is_empty() {
        let layout = || layout(chosen, catalog).map_or(CHANGING_LAYOUT, Layout::name).to_owned();
        records.identity.entry(LAYOUT.to_owned()).or_insert_with(layout);
    }
    Ok(records)
}

/// The layout that the files of commits have. `None` if not all have the same, or if an upgrade to
/// another one was interrupted. Datasets that the catalog does not know are not asked.
fn layout(chosen: &[Candidate], catalog: &Catalog) -> Option<Layout> {
    let is_of = |layout: Layout, record: &ShardRecord| {
        let dataset = catalog.datasets.get(&record.dataset);
        dataset.is_none_or(|dataset| layout.is_of(dataset, &record.files))
    };
    let mut layouts = Layout::ALL.into_iter();
    layouts.find(|layout| chosen.iter().all(|candidate| is_of(*layout, &candidate.record)))
}

fn is_older(recorded: &str, version: u32) -> bool {
    recorded.parse().is_ok_and(|recorded: u32| recorded < version)
}

fn is_newer(recorded: &str, version: u32) -> bool {
    recorded.parse().is_ok_and(|recorded: u32| recorded > version)
}

/// Leaves out the files that no chosen commit has and that have no reason yet.
fn leave_out_unused(
    chosen: &[Candidate],
    files: &BTreeMap<String, ScannedFile>,
    left_out: &mut Vec<LeftOut>,
) {
    let mut accounted: BTreeSet<_> = left_out.iter().map(|file| file.path.clone()).collect();
    let used = chosen.iter().flat_map(|candidate| &candidate.record.files);
    accounted.extend(used.map(|file| file.path.clone()));
    for path in files.keys().filter(|path| !accounted.contains(*path)) {
        left_out.push(LeftOut {
            path: path.clone(),
            reason: "it is not a file of a complete commit".to_owned(),
            is_ours: true,
        });
    }
}

#[cfg(test)]
mod tests;
