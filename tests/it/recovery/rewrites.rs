//! Commands that change committed rows without a request, killed at random. Each time the rows that
//! the ledger names are those before or those after, and the next such command completes the work.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    path::Path,
    thread::sleep,
    time::{Duration, Instant},
};

use arrow::{array::AsArray, record_batch::RecordBatch};
use cxbackfill::testing::{LEDGER, Snapshot};
use tempfile::TempDir;

use super::{
    disturbed_backfill::{Backfill, KilledOnDrop},
    number,
    output::{Rows, committed_ids, files, ids_in, rows},
    start_sandbox,
};
use crate::common::{
    binary::{program, set},
    fixture::copy,
};

/// The number of kills of each command, unless `KILLS` is set.
const KILLS: u64 = 10;

/// An output of ten days in 120 shards, of which each kill has a copy.
struct Original {
    backfill: Backfill,
    rows: Rows,
}

impl Original {
    fn fetch() -> Self {
        let sandbox = start_sandbox();
        let backfill = Backfill::fine(&sandbox);
        let rows = backfill.complete();
        Self { backfill, rows }
    }

    fn ids(&self) -> BTreeSet<String> {
        self.rows.keys().cloned().collect()
    }

    fn copy(&self) -> Copy<'_> {
        let folder = tempfile::tempdir().unwrap();
        copy(&self.backfill.output(), &folder.path().join("out"));
        Copy { folder, settings: &self.backfill.set }
    }
}

struct Copy<'a> {
    folder: TempDir,
    settings: &'a [String],
}

impl Copy<'_> {
    fn output(&self) -> std::path::PathBuf {
        self.folder.path().join("out")
    }

    fn start(&self, arguments: &[&str]) -> KilledOnDrop {
        let mut command = program(self.folder.path(), arguments);
        KilledOnDrop::start(set(&mut command, self.settings))
    }

    /// Runs a command to its end, which must be with exit code 0.
    #[track_caller]
    fn complete(&self, arguments: &[&str]) {
        let (code, said) = self.start(arguments).end();
        assert_eq!(code, 0, "{arguments:?}: {said}");
    }

    /// Checks that the output is as the ledger says, and that there is nothing beside it.
    #[track_caller]
    fn verify(&self) {
        let (code, said) = self.start(&["verify"]).end();
        assert!(code == 0 && said.ends_with(": all as the ledger says\n"), "{said}");
        let snapshot = Snapshot::read(&self.output().join(LEDGER)).unwrap();
        assert!(snapshot.leftovers.is_empty(), "{:?}", snapshot.leftovers);
        let hidden = ["_ledger.", "_report.", "_forgotten."];
        let is_hidden = |file: &String| hidden.iter().any(|start| file.starts_with(start));
        let files = files(&self.output()).into_iter().filter(|file| !is_hidden(file));
        assert_eq!(
            files.collect::<BTreeSet<_>>(),
            snapshot.paths().map(str::to_owned).collect(),
            "G3: files that no record names"
        );
    }
}

/// Kills a command at random instants, each time on another copy. `check` sees the killed output
/// with the label of the kill; then the command is repeated until its end, and `expect` sees the
/// output.
#[allow(clippy::disallowed_methods)] // another process is killed in real time
fn kill(
    original: &Original,
    arguments: &[&str],
    check: impl Fn(&Copy, &str),
    expect: impl Fn(&Copy, &str),
) {
    let seed = number("SEED").unwrap_or(11);
    let wanted = number("KILLS").unwrap_or(KILLS);
    let mut rng = fastrand::Rng::with_seed(seed);
    let whole = original.copy();
    let start = Instant::now();
    let mut undisturbed = whole.start(arguments);
    let most = await_changes(&whole.output(), u32::MAX, || undisturbed.has_ended());
    let longest = start.elapsed();
    let (code, said) = undisturbed.end();
    assert_eq!(code, 0, "{arguments:?}: {said}");
    expect(&whole, "undisturbed");
    let (mut kills, mut staged, mut attempts) = (0, 0, 0);
    while kills < wanted {
        attempts += 1;
        assert!(attempts < 20 * wanted, "seed {seed}: only {kills} of {attempts} were killed");
        let copy = original.copy();
        let mut killed = copy.start(arguments);
        if rng.u8(0..4) == 0 {
            sleep(longest.mul_f64(rng.f64()));
        } else {
            // what matters is short: right after a file has come, gone or got another name
            await_changes(&copy.output(), rng.u32(1..=most.max(1)), || killed.has_ended());
            sleep(Duration::from_micros(rng.u64(0..1_500)));
        }
        if killed.has_ended() {
            continue;
        }
        drop(killed);
        kills += 1;
        staged += u64::from(has_staged(&copy.output()));
        let label = format!("seed {seed}, kill {kills}");
        check(&copy, &label);
        copy.complete(arguments);
        expect(&copy, &label);
    }
    eprintln!(
        "seed {seed}: killed {arguments:?} {kills} times, {staged} of them with staged files"
    );
}

/// Waits for so many changes of the list of files, or for the end of the process. Returns how many
/// it has seen.
fn await_changes(output: &Path, wanted: u32, mut has_ended: impl FnMut() -> bool) -> u32 {
    let list = || files(output).into_iter().collect::<BTreeSet<_>>();
    let (mut before, mut seen) = (list(), 0);
    while seen < wanted && !has_ended() {
        let now = list();
        seen += u32::from(now != before);
        before = now;
    }
    seen
}

fn has_staged(output: &Path) -> bool {
    std::fs::read_dir(output.join("_staging")).is_ok_and(|mut files| files.next().is_some())
}

#[test]
fn g3_a_compaction_that_is_killed_loses_and_doubles_no_row() {
    let original = Original::fetch();
    let ids = original.ids();
    kill(
        &original,
        &["compact"],
        |copy, label| assert_eq!(committed_ids(&copy.output()), ids, "{label}"),
        |copy, label| {
            let parquet = |file: &&String| file.ends_with(".parquet");
            assert_eq!(files(&copy.output()).iter().filter(parquet).count(), 10, "{label}");
            assert!(rows(&copy.output()) == original.rows, "{label}: the rows changed");
            copy.verify();
        },
    );
}

/// The ids in each file that the ledger names.
fn ids_of_files(output: &Path) -> BTreeMap<String, BTreeSet<String>> {
    let snapshot = Snapshot::read(&output.join(LEDGER)).unwrap();
    let ids = |path: &str| ids_in(File::open(output.join(path)).unwrap()).into_iter().collect();
    snapshot.paths().map(|path| (path.to_owned(), ids(path))).collect()
}

#[test]
fn g3_a_forget_that_is_killed_leaves_each_shard_with_all_of_its_rows_or_without_the_forgotten() {
    let original = Original::fetch();
    let is_outbound = |row: &RecordBatch| {
        row["originatingDirection"].as_string::<i32>().iter().next().flatten() == Some("outbound")
    };
    let kept: Rows =
        original.rows.clone().into_iter().filter(|(_, row)| !is_outbound(row)).collect();
    assert!(kept.len() > 100 && kept.len() + 100 < original.rows.len(), "{} rows", kept.len());
    let before = ids_of_files(&original.backfill.output());
    kill(
        &original,
        &["forget", "--yes", "--where", "originatingDirection = 'outbound'"],
        |copy, label| {
            let now = ids_of_files(&copy.output());
            for (path, before) in &before {
                let after: BTreeSet<_> =
                    before.iter().filter(|id| kept.contains_key(*id)).cloned().collect();
                let found = now.get(path).cloned().unwrap_or_default();
                assert!(found == *before || found == after, "{label}: {path}");
            }
            let (_, said) = copy.start(&["verify"]).end();
            assert!(said.contains(": all as the ledger says"), "{label}: {said}");
        },
        |copy, label| {
            assert!(rows(&copy.output()) == kept, "{label}: the rows are not those that are kept");
            copy.verify();
        },
    );
}

#[test]
fn g3_a_drop_that_is_killed_leaves_all_rows_or_those_that_stay() {
    let original = Original::fetch();
    let output = original.backfill.output();
    let is_dropped = |path: &str| {
        ["03", "04", "05", "06"].iter().any(|day| path.contains(&format!("date=2024-01-{day}/")))
    };
    let stays: BTreeSet<String> = ids_of_files(&output)
        .into_iter()
        .filter(|(path, _)| !is_dropped(path))
        .flat_map(|(_, ids)| ids)
        .collect();
    let all = original.ids();
    assert_eq!((stays.len(), all.len()), (6 * 300, 10 * 300));
    kill(
        &original,
        &["drop", "--yes", "--from", "2024-01-03", "--to", "2024-01-07"],
        |copy, label| {
            let ids = committed_ids(&copy.output());
            assert!(ids == all || ids == stays, "{label}: {} rows", ids.len());
        },
        |copy, label| {
            let found = rows(&copy.output()).into_keys().collect::<BTreeSet<_>>();
            assert_eq!(found, stays, "{label}");
            copy.verify();
        },
    );
}
