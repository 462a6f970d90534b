//! Groups the files of an output into commits, and decides which of these are complete.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use crate::{
    catalog::{Catalog, Dataset},
    commands::rebuild::{LeftOut, scan::ScannedFile},
    ledger::{
        Counts, FileKind, FileRecord, GapKind, ShardDetails, ShardRecord,
        file_kind::{dataset_of, folder, row_files},
        original_commit_id, quarantine_doubt,
        reader::Snapshot,
    },
    sink::read::{CommitFooter, FileFooter},
    time::interval::{DAY_MS, Interval, iso},
};

/// A complete commit.
#[derive(Debug)]
pub(super) struct Candidate {
    pub record: ShardRecord,
    /// Why it is doubtful, with what was observed: as its files say, or else as can be inferred.
    pub doubts: Vec<(GapKind, String)>,
    /// Whether its files say whether it was doubtful when it was committed.
    pub tells_doubts: bool,
    /// Whether the ledger records it already.
    pub is_recorded: bool,
}

impl Candidate {
    /// Newer commits compare greater. Ids are `<start of the run>-<number>.<part>`, the first in
    /// hexadecimal digits; commits without an id are the oldest.
    pub(super) fn age_order(&self) -> (u64, u64, u64, bool) {
        let id = original_commit_id(&self.record.commit_id);
        let (run, rest) = id.split_once('-').unwrap_or((id, ""));
        let (number, part) = rest.split_once('.').unwrap_or((rest, ""));
        let decimal = |text: &str| text.parse().unwrap_or(0);
        let run = u64::from_str_radix(run, 16).unwrap_or(0);
        (run, decimal(number), decimal(part), self.is_recorded)
    }
}

/// The files with a footer of one commit.
#[derive(Default)]
struct CommitFiles<'a> {
    /// By the date of their folder, and what they hold.
    files: BTreeMap<(&'a str, FileKind<'a>), (&'a FileRecord, &'a FileFooter)>,
}

/// The complete commits of the output. Files of incomplete ones are left out.
pub(super) fn candidates(
    catalog: &Catalog,
    snapshot: &Snapshot,
    files: &BTreeMap<String, ScannedFile>,
    left_out: &mut Vec<LeftOut>,
) -> Vec<Candidate> {
    let mut candidates = Vec::new();
    let mut recorded = BTreeSet::new();
    for shard in snapshot.datasets.values().flat_map(|records| &records.shards) {
        let is_unchanged =
            |file: &FileRecord| files.get(&file.path).is_some_and(|found| found.record == *file);
        if shard.files.iter().all(is_unchanged) {
            recorded.extend(shard.files.iter().map(|file| file.path.as_str()));
            candidates.push(Candidate {
                record: shard.clone(),
                doubts: Vec::new(),
                tells_doubts: false,
                is_recorded: true,
            });
        }
    }
    let mut commits = BTreeMap::<(&str, Interval, &str), CommitFiles>::new();
    for file in files.values().filter(|file| !recorded.contains(file.record.path.as_str())) {
        let ScannedFile { record, footer: Some(footer), .. } = file else { continue };
        let commit_id = footer.commit.as_ref().map_or("", |commit| commit.id.as_str());
        // an interrupted upgrade has replaced some files of a commit by files with the same rows
        let commit_id = original_commit_id(commit_id);
        let commit =
            commits.entry((footer.dataset.as_str(), footer.interval, commit_id)).or_default();
        if let Err(reason) = commit.add(record, footer) {
            left_out.push(LeftOut { path: record.path.clone(), reason, is_ours: true });
        }
    }
    for ((dataset, interval, _), commit) in commits {
        let quarantine = FileKind::Quarantine.path(dataset, "", interval);
        let quarantine = files.get(&quarantine).map(|file| &file.record);
        match commit.record(catalog.datasets.get(dataset).map(AsRef::as_ref), quarantine) {
            Ok((record, doubts)) => {
                candidates.push(Candidate {
                    record,
                    tells_doubts: doubts.is_some(),
                    doubts: doubts.unwrap_or_default(),
                    is_recorded: false,
                });
            }
            Err(reason) => left_out.extend(commit.files.values().map(|(file, _)| LeftOut {
                path: file.path.clone(),
                reason: reason.clone(),
                is_ours: true,
            })),
        }
    }
    infer_doubts(&mut candidates);
    candidates
}

/// Sets the doubts of candidates whose files do not say them, because an earlier program wrote
/// them: a quarantined row without a readable time may belong to any record of its commit.
fn infer_doubts(candidates: &mut [Candidate]) {
    let mut quarantined = BTreeMap::<String, u64>::new();
    for Candidate { record, .. } in &*candidates {
        *quarantined.entry(commit_of(record).to_owned()).or_default() += record.counts.quarantined;
    }
    for Candidate { record, doubts, tells_doubts, .. } in candidates {
        let commit = commit_of(record);
        // a program without commit ids did not record doubts
        if !*tells_doubts && !commit.is_empty() {
            let rows = quarantined.get(commit).copied().unwrap_or_default();
            *doubts = Vec::from_iter(quarantine_doubt(record.counts, rows));
        }
    }
}

/// The id that a commit's records have in common.
fn commit_of(record: &ShardRecord) -> &str {
    let id = original_commit_id(&record.commit_id);
    id.rsplit_once('.').map_or(id, |(commit, _)| commit)
}

/// The record of a commit, and why it is doubtful: `None` if that is not known.
type RecordWithDoubts = (ShardRecord, Option<Vec<(GapKind, String)>>);

impl<'a> CommitFiles<'a> {
    /// Adds a file.
    ///
    /// # Errors
    /// Why the file is not one of the commit.
    fn add(&mut self, file: &'a FileRecord, footer: &'a FileFooter) -> Result<(), String> {
        let dataset = &footer.dataset;
        let kind = footer.kind();
        let date = match file.date() {
            Some(date) if file.kind() == kind && dataset_of(&file.path) == dataset => date,
            _ => {
                let folder = folder(dataset, kind);
                return Err(format!("its footer says that it belongs in the folder {folder}/"));
            }
        };
        // a copy of a file has another name than the file itself
        let name = format!("{}.parquet", footer.interval.slug());
        match self.files.get(&(date, kind)) {
            Some((other, _)) if !file.path.ends_with(&name) || other.path.ends_with(&name) => {
                Err(format!("it is a copy of {}", other.path))
            }
            _ => {
                self.files.insert((date, kind), (file, footer));
                Ok(())
            }
        }
    }

    /// The record of the commit.
    ///
    /// # Errors
    /// Why the commit is not known to be complete.
    fn record(
        &self,
        dataset: Option<&Dataset>,
        quarantine: Option<&FileRecord>,
    ) -> Result<RecordWithDoubts, String> {
        // if a commit was upgraded in part, take the older files: the next upgrade replaces them
        let by_version = |(_, footer): &&(_, &FileFooter)| footer.schema_version;
        let Some((_, footer)) = self.files.values().min_by_key(by_version) else {
            return Err("its commit has no files".to_owned());
        };
        let mut files: Vec<_> = self.files.values().map(|(file, _)| (*file).clone()).collect();
        let written: u64 = row_files(&footer.dataset, &files).map(|file| file.rows).sum();
        let commit = match &footer.commit {
            Some(commit) => commit.clone(),
            None => {
                self.check_days(footer, dataset)?;
                let quarantined = quarantine.map_or(0, |file| file.rows);
                let received = written + quarantined;
                let counts = Counts { received, written, quarantined, ..Counts::default() };
                let file_count = files.len() + usize::from(quarantine.is_some());
                CommitFooter {
                    id: String::new(),
                    files: file_count,
                    counts,
                    open_rows: 0,
                    doubts: None,
                }
            }
        };
        let CommitFooter { id, files: expected, counts, open_rows, doubts } = commit;
        if counts.quarantined > 0
            && let Some(quarantine) = quarantine
        {
            if quarantine.rows != counts.quarantined {
                let (found, expected) = (quarantine.rows, counts.quarantined);
                return Err(format!("its quarantine has {found} of {expected} rows"));
            }
            files.push(quarantine.clone());
        }
        if files.len() < expected {
            let found = files.len();
            return Err(format!("{found} of the {expected} files of its commit are there"));
        }
        if written != counts.written {
            let expected = counts.written;
            return Err(format!("the files of its commit have {written} of {expected} rows"));
        }
        let record = ShardRecord {
            dataset: footer.dataset.clone(),
            interval: footer.interval,
            counts,
            files,
            commit_id: id,
            open_rows,
            details: ShardDetails::default(),
        };
        Ok((record, doubts))
    }

    /// Checks that a commit whose footers do not say how many files it has is complete: every UTC
    /// day of its interval has a file, or the dataset writes one file for each commit.
    fn check_days(&self, footer: &FileFooter, dataset: Option<&Dataset>) -> Result<(), String> {
        if dataset.is_some_and(|dataset| dataset.snapshot || dataset.synthesizes_time) {
            return Ok(());
        }
        let day = Duration::from_millis(DAY_MS.unsigned_abs());
        for day in footer.interval.split(day) {
            let date = &iso(day.from_ms())[..10];
            if !self.files.contains_key(&(date, FileKind::Nested)) {
                return Err(format!(
                    "its footer does not say how many files its commit has, and there is none for \
                    {date}"
                ));
            }
        }
        Ok(())
    }
}
