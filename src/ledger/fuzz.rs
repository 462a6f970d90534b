//! Fuzz loops over the ledger: random sequences of records, and files that were damaged at random.
//! `FUZZ_ROUNDS` sets the number of rounds.

use std::{collections::BTreeMap, fs, ops::Range, path::Path};

use fastrand::Rng;

use crate::{
    ledger::{
        AcceptedInterval, Counts, DoubtfulInterval, Failure, FileRecord, GapKind, LEDGER, Ledger,
        LedgerError, RemoteJob, RowStats, ShardDetails, ShardRecord, reader::Snapshot,
    },
    time::interval::Interval,
};

const DATASET: &str = "d";

fn rounds(most: u64) -> Range<u64> {
    let rounds = std::env::var("FUZZ_ROUNDS").ok().and_then(|rounds| rounds.parse().ok());
    0..rounds.unwrap_or(most)
}

fn interval(rng: &mut Rng) -> Interval {
    let from = rng.i64(0..60);
    Interval::new(from, from + rng.i64(1..10)).unwrap()
}

fn shard(interval: Interval, rng: &mut Rng) -> ShardRecord {
    let file = FileRecord {
        path: format!("d/{interval}-{}.parquet", rng.u32(..)),
        rows: rng.u64(..100),
        bytes: rng.u64(..1 << 40),
        sha256: "00".into(),
    };
    ShardRecord {
        dataset: DATASET.into(),
        interval,
        counts: Counts { received: file.rows, written: file.rows, ..Counts::default() },
        files: vec![file],
        commit_id: format!("c{}", rng.u8(..)),
        open_rows: rng.u64(..3),
        details: ShardDetails::default(),
    }
}

/// One random record. The last value is what the ledger says to it.
fn record(ledger: &Ledger, rng: &mut Rng) -> Result<(), LedgerError> {
    let interval = interval(rng);
    let dataset = || DATASET.to_owned();
    let reason = || "the server says \u{1b}[31m no".to_owned();
    match rng.u8(..9) {
        0..=2 => {
            let records: Vec<_> = (0..rng.usize(1..3))
                .map(|part| {
                    let shift = part as i64 * interval.width().as_millis() as i64;
                    let (from, to) = (interval.from_ms() + shift, interval.to_ms() + shift);
                    shard(Interval::new(from, to).unwrap(), rng)
                })
                .collect();
            ledger.commit(&records, &[], &[], rng.bool()).map(drop)
        }
        3 => {
            let files = [(format!("d/{}", rng.u8(..)), "c".to_owned())];
            ledger.intend(DATASET, &files, rng.bool().then_some(interval))
        }
        4 => ledger.fail(&Failure {
            dataset: dataset(),
            interval,
            reason: reason(),
            correlation: String::new(),
        }),
        5 => ledger.split(DATASET, interval, &reason()),
        6 => {
            let kind = GapKind::Quarantined;
            let doubt = DoubtfulInterval { dataset: dataset(), interval, kind, reason: reason() };
            ledger.record_doubt(&doubt)
        }
        7 => ledger.accept(&AcceptedInterval { dataset: dataset(), interval, reason: reason() }),
        _ => ledger.job_submitted(&RemoteJob { path: "/jobs/1".into(), dataset: dataset() }),
    }
}

#[test]
fn g1_after_any_sequence_of_records_the_committed_intervals_are_disjoint_and_read_back() {
    for seed in rounds(30) {
        let mut rng = Rng::with_seed(seed);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(LEDGER);
        let mut ledger = Ledger::open(&path).unwrap();
        for _ in 0..40 {
            match record(&ledger, &mut rng) {
                Ok(()) | Err(LedgerError::Overlap { .. }) => {}
                Err(error) => panic!("seed {seed}: {error}"),
            }
            if rng.u8(..8) == 0 {
                drop(ledger);
                ledger = Ledger::open(&path).unwrap();
            }
            let committed = ledger.committed(DATASET).unwrap();
            assert!(committed.is_sorted_by(|a, b| a.to_ms() <= b.from_ms()), "seed {seed}");
            let snapshot = Snapshot::read(&path).unwrap();
            let shards = snapshot.datasets.get(DATASET).map_or(&[][..], |records| &records.shards);
            let read: Vec<_> = shards.iter().map(|shard| shard.interval).collect();
            assert_eq!(read, committed, "seed {seed}");
            let named: usize = shards.iter().map(|shard| shard.files.len()).sum();
            assert_eq!(named, ledger.file_paths().unwrap().len(), "seed {seed}");
        }
    }
}

/// Calls everything that a run and a status read.
fn read_all(path: &Path) -> Vec<String> {
    let mut said = Vec::new();
    if let Err(error) = Snapshot::read(path) {
        said.push(error.to_string());
    }
    let ledger = match Ledger::open(path) {
        Ok(ledger) => ledger,
        Err(error) => return [said, vec![error.to_string()]].concat(),
    };
    let results = [
        ledger.check_identity(&BTreeMap::new()),
        ledger.committed(DATASET).map(drop),
        ledger.stale(DATASET).map(drop),
        ledger.failures(DATASET).map(drop),
        ledger.doubtful(DATASET).map(drop),
        ledger.accepted(DATASET).map(drop),
        ledger.follow_ups(DATASET).map(drop),
        ledger.probes(DATASET).map(drop),
        ledger.remote_jobs().map(drop),
        ledger.intents().map(drop),
        ledger.garbage().map(drop),
        ledger.runs().map(drop),
        ledger.file_paths().map(drop),
        RowStats::read(&ledger, DATASET).map(drop),
        record(&ledger, &mut Rng::with_seed(0)),
    ];
    said.extend(results.into_iter().filter_map(Result::err).map(|error| error.to_string()));
    said
}

#[test]
fn a_ledger_that_was_damaged_at_random_is_read_or_refused_with_a_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let whole = folder.path().join("whole");
    let ledger = Ledger::open(&whole).unwrap();
    let mut rng = Rng::with_seed(7);
    for _ in 0..200 {
        let _ = record(&ledger, &mut rng);
    }
    drop(ledger);
    let bytes = fs::read(&whole).unwrap();
    let path = folder.path().join(LEDGER);
    let mut refused = 0;
    for seed in rounds(300) {
        let mut rng = Rng::with_seed(seed);
        let mut damaged = bytes.clone();
        match rng.u8(..4) {
            0 => damaged.truncate(rng.usize(..bytes.len())),
            1 => rng.fill(&mut damaged[rng.clone().usize(..bytes.len())..]),
            _ => {
                for _ in 0..rng.usize(1..200) {
                    damaged[rng.usize(..bytes.len())] = rng.u8(..);
                }
            }
        }
        for suffix in ["-wal", "-shm"] {
            let _ = fs::remove_file(folder.path().join(format!("{LEDGER}{suffix}")));
        }
        fs::write(&path, damaged).unwrap();
        if rng.u8(..4) == 0 {
            let noise: Vec<u8> = std::iter::repeat_with(|| rng.u8(..)).take(5_000).collect();
            fs::write(folder.path().join(format!("{LEDGER}-wal")), noise).unwrap();
        }
        let said = read_all(&path);
        refused += usize::from(!said.is_empty());
        for sentence in said {
            let names_ledger =
                sentence.contains("ledger") || sentence.contains("this output was written");
            assert!(names_ledger && sentence.contains(' '), "seed {seed}: {sentence}");
        }
    }
    assert!(refused > 100, "{refused} refused");
}
