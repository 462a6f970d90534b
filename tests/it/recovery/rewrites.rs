//! Commands that change committed rows without a request, killed at random. Each time the rows that
//! the ledger names are those before or those after, and the next such command completes the work.

use std::{
    collections::BTreeSet,
    path::Path,
    thread::sleep,
    time::{Duration, Instant},
};

use cxbackfill::testing::{LEDGER, Snapshot};
use tempfile::TempDir;

use super::{
    disturbed_backfill::{Backfill, KilledOnDrop},
    number,
    output::{Rows, committed_ids, files, rows},
    start_sandbox,
};
use crate::common::{
    binary::{program, set},
    fixture::copy,
};

/// The number of kills of each command, unless `KILLS` is set.
const KILLS: u64 = 20;

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
        let is_hidden =
            |file: &String| file.starts_with("_ledger.") || file.starts_with("_report.");
        let files = files(&self.output()).into_iter().filter(|file| !is_hidden(file));
        assert_eq!(
            files.collect::<BTreeSet<_>>(),
            snapshot.paths().map(str::to_owned).collect(),
            "G3: files that no record names"
        );
    }
}

/// Kills a command at random instants, each time on another copy. `check` sees the killed output with
/// the label of the kill; then the command is repeated until its end, and `expect` sees the output.
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
    whole.complete(arguments);
    let longest = start.elapsed();
    expect(&whole, "undisturbed");
    let (mut kills, mut staged, mut attempts) = (0, 0, 0);
    while kills < wanted {
        attempts += 1;
        assert!(attempts < 5 * wanted, "seed {seed}: only {kills} of {attempts} were killed");
        let copy = original.copy();
        let mut killed = copy.start(arguments);
        if rng.u8(0..4) == 0 {
            sleep(longest.mul_f64(rng.f64()));
        } else {
            // what matters is short: right after a file has come, gone or got another name
            await_changes(&copy.output(), rng.u32(1..40), || killed.has_ended());
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

/// Waits for so many changes of the list of files, or for the end of the process.
fn await_changes(output: &Path, mut changes: u32, mut has_ended: impl FnMut() -> bool) {
    let list = || files(output).into_iter().collect::<BTreeSet<_>>();
    let mut before = list();
    while changes > 0 && !has_ended() {
        let now = list();
        changes -= u32::from(now != before);
        before = now;
    }
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
