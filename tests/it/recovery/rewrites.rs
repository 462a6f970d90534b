//! Commands that change committed rows without a request, killed at random. Each time the rows that
//! the ledger names are those before or those after, and the next such command completes the work.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    thread::sleep,
    time::{Duration, Instant},
};

use arrow::{array::AsArray, record_batch::RecordBatch};
use cxbackfill::testing::{LEDGER, Snapshot};
use tempfile::TempDir;

use super::{
    disturbed_backfill::{Backfill, KilledOnDrop},
    number, start_sandbox,
};
use crate::common::{
    binary::{Sandbox, program, set},
    fixture::copy,
    output_rows::{
        NESTED, Rows, committed_ids, committed_rows, files, merged, rows, rows_by_folder,
    },
};

/// The number of kills of each command, unless `KILLS` is set: on an output of nested rows, and on
/// one with tables, which has many more files.
const KILLS: [u64; 2] = [10, 3];

/// An output of which each kill has a copy.
struct Original {
    backfill: Backfill,
    rows: BTreeMap<String, Rows>,
    days: usize,
}

impl Original {
    /// Ten days in 120 shards of nested rows.
    fn nested() -> Self {
        Self::complete(Backfill::fine(&start_sandbox()), 10)
    }

    /// Two days in twelve shards of a layout.
    fn small(layout: &str) -> Self {
        let sandbox = Sandbox::start(&["sandbox.conversations_per_day=60"]);
        Self::complete(Backfill::of_layout(&sandbox, layout, "2024-01-03").in_shards("4h"), 2)
    }

    fn complete(backfill: Backfill, days: usize) -> Self {
        backfill.complete();
        let rows = rows_by_folder(&backfill.output());
        Self { backfill, rows, days }
    }

    fn nested_rows(&self) -> &Rows {
        &self.rows[NESTED]
    }

    fn ids(&self) -> BTreeSet<String> {
        self.nested_rows().keys().cloned().collect()
    }

    fn kills(&self) -> u64 {
        number("KILLS").unwrap_or(KILLS[usize::from(self.rows.len() > 1 || self.days < 10)])
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

    /// A copy of it as it is now.
    fn again(&self) -> Self {
        let folder = tempfile::tempdir().unwrap();
        copy(&self.output(), &folder.path().join("out"));
        Self { folder, settings: self.settings }
    }

    fn start(&self, arguments: &[&str]) -> KilledOnDrop {
        // a setting of the arguments comes last, and so it counts
        let mut command = program(self.folder.path(), &arguments[..1]);
        KilledOnDrop::start(set(&mut command, self.settings).args(&arguments[1..]))
    }

    /// Runs a command to its end, which must be with exit code 0.
    #[track_caller]
    fn complete(&self, arguments: &[&str]) {
        let (code, said) = self.start(arguments).end();
        assert_eq!(code, 0, "{arguments:?}: {said}");
    }

    /// Checks that the output is as the ledger says, and that there is nothing beside it.
    #[track_caller]
    fn verify(&self, settings: &[&str]) {
        let (code, said) = self.start(&[&["verify"], settings].concat()).end();
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
    let wanted = original.kills();
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
    for original in [Original::nested(), Original::small("both")] {
        kill(
            &original,
            &["compact"],
            |copy, label| {
                let now = merged(committed_rows(&copy.output()));
                assert!(now == original.rows, "{label}: the committed rows changed");
            },
            |copy, label| {
                let parquet = |file: &&String| file.ends_with(".parquet");
                let expected = original.days * original.rows.len();
                assert_eq!(
                    files(&copy.output()).iter().filter(parquet).count(),
                    expected,
                    "{label}"
                );
                let now = rows_by_folder(&copy.output());
                assert!(now == original.rows, "{label}: the rows changed");
                copy.verify(&[]);
            },
        );
    }
}

/// Those of the rows that are of these conversations.
fn rows_of<'r>(rows: &'r Rows, ids: &'r BTreeSet<String>) -> Rows {
    rows.iter()
        .filter(|(id, _)| ids.contains(*id))
        .map(|(id, row)| (id.clone(), row.clone()))
        .collect()
}

#[test]
fn g3_a_forget_that_is_killed_leaves_each_file_with_all_of_its_rows_or_without_the_forgotten() {
    let is_kept = |row: &RecordBatch| {
        row["originatingDirection"].as_string::<i32>().iter().next().flatten() != Some("outbound")
    };
    for original in [Original::nested(), Original::small("both")] {
        let kept = original.nested_rows().iter().filter(|(_, row)| is_kept(row));
        let kept: BTreeSet<_> = kept.map(|(id, _)| id.clone()).collect();
        let forgotten = original.ids().len() - kept.len();
        assert!(kept.len() > 10 * original.days && forgotten > 3, "{} rows", kept.len());
        let before = committed_rows(&original.backfill.output());
        kill(
            &original,
            &["forget", "--yes", "--where", "originatingDirection = 'outbound'"],
            |copy, label| {
                let now = committed_rows(&copy.output());
                for (path, before) in &before {
                    let found = now.get(path).cloned().unwrap_or_default();
                    let is_one = found == *before || found == rows_of(before, &kept);
                    assert!(is_one, "{label}: {path}");
                }
                let (_, said) = copy.start(&["verify"]).end();
                assert!(said.contains(": all as the ledger says"), "{label}: {said}");
            },
            |copy, label| {
                let expected: BTreeMap<_, _> = original
                    .rows
                    .iter()
                    .map(|(folder, rows)| (folder.clone(), rows_of(rows, &kept)))
                    .collect();
                let now = rows_by_folder(&copy.output());
                assert!(now == expected, "{label}: the rows are not those that are kept");
                copy.verify(&[]);
            },
        );
    }
}

#[test]
fn g3_an_upgrade_to_another_layout_that_is_killed_leaves_each_shard_in_one_of_both() {
    for [from, to] in [["nested", "both"], ["both", "tables"], ["tables", "nested"]] {
        let original = Original::small(from);
        let layout = format!("output.layout={to}");
        let upgrade = ["upgrade", "--set", &layout];
        let upgraded = original.copy();
        upgraded.complete(&upgrade);
        let [before, after] = [&original.backfill.output(), &upgraded.output()]
            .map(|output| (shards(output), committed_rows(output)));
        let all = rows_by_folder(&upgraded.output());
        assert!(before.0.is_disjoint(&after.0), "{from} to {to}: all shards get other files");
        kill(
            &original,
            &upgrade,
            |copy, label| {
                for shard in shards(&copy.output()) {
                    let is_one = before.0.contains(&shard) || after.0.contains(&shard);
                    assert!(is_one, "{label}: {shard:?}");
                }
                // a ledger that is lost now costs no row
                let rebuilt = copy.again();
                for suffix in ["", "-wal", "-shm"] {
                    let ledger = rebuilt.output().join(format!("{LEDGER}{suffix}"));
                    let _ = std::fs::remove_file(ledger);
                }
                rebuilt.start(&["rebuild"]).end();
                rebuilt.complete(&upgrade);
                assert!(rows_by_folder(&rebuilt.output()) == all, "{label}: after a rebuild");
                for (path, rows) in committed_rows(&copy.output()) {
                    let mut expected = [&before.1, &after.1].into_iter();
                    let is_one = expected.any(|files| files.get(&path) == Some(&rows));
                    assert!(is_one, "{label}: {path}");
                }
            },
            |copy, label| {
                assert!(rows_by_folder(&copy.output()) == all, "{label}: the rows changed");
                assert_eq!(shards(&copy.output()), after.0, "{label}");
                copy.verify(&upgrade[1..]);
            },
        );
    }
}

/// The paths of the files of each shard that the ledger names.
fn shards(output: &Path) -> BTreeSet<BTreeSet<String>> {
    let snapshot = Snapshot::read(&output.join(LEDGER)).unwrap();
    let shards = snapshot.datasets[NESTED].shards.iter();
    shards.map(|shard| shard.files.iter().map(|file| file.path.clone()).collect()).collect()
}

/// The ids in each file that the ledger names.
fn ids_of_files(output: &Path) -> BTreeMap<String, BTreeSet<String>> {
    let ids = |(path, rows): (String, Rows)| (path, rows.into_keys().collect());
    committed_rows(output).into_iter().map(ids).collect()
}

#[test]
fn g3_a_drop_that_is_killed_leaves_all_rows_or_those_that_stay() {
    let original = Original::nested();
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
            copy.verify(&[]);
        },
    );
}
