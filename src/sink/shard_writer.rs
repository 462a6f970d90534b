//! Turns the pages of one shard into files: one for each UTC day, with the newest copy of each row.

use std::{
    collections::{BTreeMap, HashMap},
    io,
    ops::Range,
    sync::Arc,
};

use arrow::{array::UInt64Array, compute::take_record_batch};

use crate::{
    decode::{Drift, Page, RowKey},
    ledger::{Counts, FileKind, GapKind, HourRecord, quarantine_doubt},
    planning::Shard,
    sink::{
        file_encoder::EncodedFile,
        footer::Footer,
        forgotten::ForgottenIds,
        hour_sums::HourSums,
        parquet_writer::{DayFile, FinishedDay},
        quarantine::{Quarantine, QuarantinedDay},
        row_versions::{RowPlace, RowVersions},
        settings::ParquetSettings,
        spool::{Spool, SpoolFile},
        store::OutputStore,
        write_error::WriteError,
    },
    system::memory::{HeldMemory, ROWS},
    time::interval::{Interval, iso},
};

/// Fewer bytes of rows stay in memory however short it is: to move them costs more than it frees.
pub(crate) const SMALLEST_SPILL_BYTES: usize = 256 << 10;

/// The open files of one shard.
pub struct ShardWriter {
    shard: Shard,
    /// What is not in memory.
    spools: SpoolFile,
    settings: Arc<ParquetSettings>,
    /// By the start of the UTC day.
    days: BTreeMap<i64, DayFile>,
    waiting_rows: HeldMemory,
    versions: RowVersions,
    quarantine: Quarantine,
    /// The rows that are left out.
    forgotten: ForgottenIds,
    counts: Counts,
    /// Counts that belong to no day: those of committed records that the shard replaces by their
    /// own rows, and forgotten rows that cannot be decoded.
    carried: Counts,
    drift: Drift,
    latest: LatestRows,
}

/// The rows with the latest time. A partial commit at that time leaves them to the rest of the
/// shard.
struct LatestRows {
    time_ms: i64,
    day: i64,
    rows: Vec<Range<u64>>,
}

/// What a shard is committed as: its files and counts for one record of the ledger.
pub struct FinishedRecord {
    /// The interval of the record.
    pub interval: Interval,
    /// The id of its commit.
    pub commit_id: String,
    /// What became of its rows.
    pub counts: Counts,
    /// What its rows have that fits no column.
    pub drift: Drift,
    /// Why it is doubtful, with what was observed. Empty if it is not.
    pub doubts: Vec<(GapKind, String)>,
    /// Written rows that were still open.
    pub open_rows: u64,
    /// The sums of its written rows.
    pub sums: Vec<HourRecord>,
    /// Its files, complete but without a name.
    pub files: Vec<FinishedFile>,
}

/// A complete file that has no name yet.
pub struct FinishedFile {
    /// Its path below the output.
    pub path: String,
    pub rows: u64,
    pub content: Spool,
}

impl ShardWriter {
    /// A writer without rows.
    pub fn new(shard: Shard, output: OutputStore, settings: Arc<ParquetSettings>) -> Self {
        let spools = output.spool_file();
        Self {
            shard,
            quarantine: Quarantine::new(&spools),
            forgotten: ForgottenIds::default(),
            spools,
            settings,
            days: BTreeMap::new(),
            waiting_rows: ROWS.hold(0),
            versions: RowVersions::default(),
            counts: Counts::default(),
            carried: Counts::default(),
            drift: Drift::default(),
            latest: LatestRows { time_ms: i64::MIN, day: i64::MIN, rows: Vec::new() },
        }
    }

    /// The same, without rows that were forgotten.
    pub(super) fn without(mut self, forgotten: ForgottenIds) -> Self {
        self.forgotten = forgotten;
        self
    }

    /// What became of the rows so far. In a shard of more rows than are compared in memory, some
    /// duplicates count as written until [`finish`](Self::finish).
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Takes over what a committed record, which is replaced by its own rows, counts beside the
    /// rows that it keeps.
    pub(super) fn carry_counts(&mut self, committed: Counts) {
        self.carried.not_owned += committed.not_owned;
        self.carried.duplicate += committed.duplicate;
        self.carry_forgotten(committed.forgotten);
    }

    /// Takes over the rows that were left out of committed records because they were forgotten.
    pub(super) fn carry_forgotten(&mut self, rows: u64) {
        self.carried.forgotten += rows;
    }

    /// Writes the rows of a page.
    ///
    /// # Errors
    /// [`WriteError`]. The writer is unusable then.
    pub fn write(&mut self, page: &Page) -> Result<(), WriteError> {
        self.counts.received += page.received;
        self.counts.not_owned += page.not_owned;
        self.drift.add(&page.drift);
        let latest_ms = self.latest.time_ms.max(self.shard.interval.from_ms());
        let default_ms = Interval::day_of(latest_ms).from_ms();
        let forgotten = self.quarantine.add(page, default_ms, &self.forgotten)?;
        self.counts.quarantined += page.bad.len() as u64 - forgotten;
        self.counts.forgotten += forgotten;
        self.carried.forgotten += forgotten;
        for (day, rows) in self.kept_rows(&page.keys) {
            if let Some(file) = self.days.get_mut(&day)
                && !rows.is_empty()
            {
                // a slice would keep the whole page in memory, and count as all of it
                let batch = match rows.len() == page.batch.num_rows() {
                    true => page.batch.clone(),
                    false => take_record_batch(&page.batch, &UInt64Array::from(rows))?,
                };
                file.append(batch)?;
            }
        }
        self.versions.spill_if_full(|| self.spools.spool())?;
        self.limit_waiting_rows()
    }

    /// The numbers of the rows of a page to write, by day. Counts the rows and opens the files.
    fn kept_rows(&mut self, keys: &[RowKey]) -> BTreeMap<i64, Vec<u64>> {
        let newest_in_page = newest_indices(keys);
        let mut kept = BTreeMap::<i64, Vec<u64>>::new();
        let mut index = 0;
        // rows come in order of time, so a page is one run of a day, seldom two
        for run in keys.chunk_by(|a, b| Interval::day_of(a.time_ms) == Interval::day_of(b.time_ms))
        {
            let day = Interval::day_of(run[0].time_ms).from_ms();
            let new_file = || DayFile::new(&self.shard.dataset, &self.settings, &self.spools);
            let appended = self.days.entry(day).or_insert_with(new_file).appended();
            let rows = kept.entry(day).or_default();
            let (mut rejected, mut forgotten) = (0, 0);
            for key in run {
                if self.forgotten.contains(key.id) {
                    forgotten += 1;
                    index += 1;
                    continue;
                }
                // a page may hold an id twice: only its newest copy there is written
                if newest_in_page[&key.id] == index && self.versions.is_newest(key) {
                    let row = appended + rows.len() as u64;
                    if let Some(old) = self.versions.insert(key, RowPlace { day, row }) {
                        self.drop_duplicate(old);
                    }
                    self.latest.add(key.time_ms, day, row);
                    self.counts.written += 1;
                    rows.push(index as u64);
                } else {
                    rejected += 1;
                }
                index += 1;
            }
            self.counts.duplicate += rejected;
            self.counts.forgotten += forgotten;
            if let Some(file) = self.days.get_mut(&day) {
                file.duplicates += rejected;
                file.forgotten += forgotten;
            }
        }
        kept
    }

    /// Writes quarantined rows of the committed record that begins at `from_ms` once more, given as
    /// lines of its file. Returns their number.
    ///
    /// # Errors
    /// [`WriteError`]. The writer is unusable then.
    pub(super) fn carry_quarantined(
        &mut self,
        from_ms: i64,
        lines: impl Iterator<Item = io::Result<Vec<u8>>>,
    ) -> Result<u64, WriteError> {
        let day_ms = Interval::day_of(from_ms).from_ms();
        let (rows, forgotten) = self.quarantine.carry(day_ms, lines, &self.forgotten)?;
        self.counts.received += rows + forgotten;
        self.counts.quarantined += rows;
        self.counts.forgotten += forgotten;
        self.carry_forgotten(forgotten);
        Ok(rows + forgotten)
    }

    /// Drops a written row, of which a newer copy is being written.
    fn drop_duplicate(&mut self, old: RowPlace) {
        if let Some(file) = self.days.get_mut(&old.day)
            && file.drop_duplicate(old.row)
        {
            self.counts.duplicate += 1;
            self.counts.written -= 1;
        }
    }

    /// Moves the rows of the largest file to the disk if the waiting rows of all shards of the
    /// process take too much memory together (G8).
    fn limit_waiting_rows(&mut self) -> Result<(), WriteError> {
        let in_memory =
            |days: &BTreeMap<_, DayFile>| days.values().map(DayFile::bytes_in_memory).sum();
        self.waiting_rows.set(in_memory(&self.days));
        if ROWS.is_exceeded()
            && let Some(largest) = self.days.values_mut().max_by_key(|file| file.bytes_in_memory())
            && largest.bytes_in_memory() >= SMALLEST_SPILL_BYTES
        {
            largest.spill()?;
            self.waiting_rows.set(in_memory(&self.days));
        }
        Ok(())
    }

    /// Completes the files of the records that `interval` is committed as. `commit_id` begins the
    /// ids of their commits.
    ///
    /// The interval is the shard's, or a part from its start: then the rows that the part does not
    /// own are left out (G4). Counts that belong to no day, such as rows that are not owned, go to
    /// the first record, so that the records balance in sum (G5), and so does the drift. See
    /// [`Quarantine`] for the days of rows that cannot be decoded. `doubts` hold for each record,
    /// other than those about quarantined rows.
    ///
    /// # Errors
    /// [`WriteError`].
    pub fn finish(
        self,
        interval: Interval,
        commit_id: &str,
        doubts: &[(GapKind, String)],
    ) -> Result<Vec<FinishedRecord>, WriteError> {
        let Self { shard, spools, settings, mut days, waiting_rows, versions, .. } = self;
        let (mut quarantine, counts, latest) = (self.quarantine, self.counts, self.latest);
        let mut drift = self.drift;
        let without_own_day = quarantine.without_own_day();
        versions.merge(|place| {
            if let Some(file) = days.get_mut(&place.day) {
                file.drop_duplicate(place.row);
            }
        })?;
        let mut without_day = self.carried;
        without_day.not_owned += counts.not_owned + latest.drop_from(interval.to_ms(), &mut days);
        let committed = Shard { interval, ..shard };
        let mut records = Vec::new();
        for interval in committed.record_intervals() {
            let first_day = Interval::day_of(interval.from_ms()).from_ms();
            let later = days.split_off(&interval.to_ms());
            let files = std::mem::replace(&mut days, later);
            debug_assert!(files.keys().all(|&day| day >= first_day), "a day before its record");
            records.push((interval, files));
        }
        // what is left are days after a partial commit, with nothing but duplicates of rows at its
        // end
        without_day.duplicate += days.values().map(|file| file.duplicates).sum::<u64>();
        without_day.forgotten += days.values().map(|file| file.forgotten).sum::<u64>();

        let dataset = &committed.dataset;
        let name = &dataset.name;
        let files_of_day = settings.layout.files(dataset).len();
        let mut finished = Vec::with_capacity(records.len());
        for (number, (interval, files)) in (0..).zip(records) {
            // a part may have quarantined rows of a day after it
            let is_last = interval.to_ms() == committed.interval.to_ms();
            let quarantine_end = if is_last { i64::MAX } else { interval.to_ms() };
            let quarantine = quarantine.take_before(quarantine_end)?;
            let mut counts = std::mem::take(&mut without_day);
            counts.quarantined = quarantine.as_ref().map_or(0, |quarantined| quarantined.rows);
            counts.written += files.values().map(DayFile::rows).sum::<u64>();
            counts.duplicate += files.values().map(|file| file.duplicates).sum::<u64>();
            counts.forgotten += files.values().map(|file| file.forgotten).sum::<u64>();
            counts.received = counts.accounted();
            let mut files: BTreeMap<_, _> =
                files.into_iter().filter(|(_, file)| file.rows() > 0).collect();
            if files.is_empty() && counts.quarantined + counts.forgotten > 0 {
                // only a footer tells what its record is
                let day = Interval::day_of(interval.from_ms()).from_ms();
                files.insert(day, DayFile::new(&committed.dataset, &settings, &spools));
            }
            let of_quarantine = quarantine_doubt(counts, without_own_day);
            let doubts: Vec<_> = of_quarantine.into_iter().chain(doubts.iter().cloned()).collect();
            let footer = Footer {
                interval,
                commit_id: format!("{commit_id}.{number}"),
                commit_files: files.len() * files_of_day + usize::from(quarantine.is_some()),
                counts,
                open_rows: files.values().map(DayFile::open_rows).sum(),
                doubts: Some(doubts.clone()),
            };
            let mut record = FinishedRecord {
                interval,
                commit_id: footer.commit_id.clone(),
                counts,
                drift: std::mem::take(&mut drift),
                doubts,
                open_rows: footer.open_rows,
                sums: Vec::new(),
                files: Vec::new(),
            };
            let mut sums = HourSums::default();
            for (day, file) in files {
                let FinishedDay { files, sums: of_day } = file.finish(&footer)?;
                sums.append(&of_day);
                for file in files {
                    let path = file.kind(dataset).path(name, &iso(day)[..10], interval);
                    let EncodedFile { rows, content, .. } = file;
                    record.files.push(FinishedFile { path, rows, content });
                }
            }
            record.sums = sums.into_records();
            if let Some(QuarantinedDay { content, rows }) = quarantine {
                let path = FileKind::Quarantine.path(name, "", interval);
                record.files.push(FinishedFile { path, rows, content });
            }
            finished.push(record);
        }
        drop(waiting_rows);
        Ok(finished)
    }
}

impl LatestRows {
    fn add(&mut self, time_ms: i64, day: i64, row: u64) {
        if time_ms > self.time_ms {
            *self = Self { time_ms, day, rows: Vec::new() };
        }
        if time_ms == self.time_ms {
            match self.rows.last_mut() {
                Some(last) if last.end == row => last.end += 1,
                _ => self.rows.push(row..row + 1),
            }
        }
    }

    /// Drops the rows if their time is `end_ms` or later. Returns how many were dropped.
    fn drop_from(self, end_ms: i64, days: &mut BTreeMap<i64, DayFile>) -> u64 {
        match days.get_mut(&self.day) {
            Some(file) if self.time_ms >= end_ms => {
                self.rows.into_iter().flatten().filter(|&row| file.drop_row(row)).count() as u64
            }
            _ => 0,
        }
    }
}

/// The index of the newest copy of each id in a page: of equally new ones, the last.
fn newest_indices(keys: &[RowKey]) -> HashMap<u128, usize> {
    let mut newest = HashMap::with_capacity(keys.len());
    for (index, key) in keys.iter().enumerate() {
        let newest_index = newest.entry(key.id).or_insert(index);
        if key.version >= keys[*newest_index].version {
            *newest_index = index;
        }
    }
    newest
}
