//! The real program, killed, without write permission or out of disk space, and resumed. Each time
//! the output must equal that of an undisturbed run.
//!
//! `SEED=17 cargo test --test it recovery` kills at other times, `KILLS=40` more often.
#![cfg(unix)]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::{self, Read},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread::{self, sleep},
    time::{Duration, Instant},
};

use arrow::{array::AsArray, record_batch::RecordBatch};
use cxbackfill::testing::{LEDGER, Snapshot};
use parquet::arrow::{ProjectionMask, arrow_reader::ParquetRecordBatchReaderBuilder};
use tempfile::TempDir;

use crate::common::binary::{CREDENTIALS, SIMULATED, Sandbox, program, set};

/// How often a process is polled.
const TICK: Duration = Duration::from_millis(2);
/// How many times it is polled before the test fails.
const MAX_TICKS: u32 = 10_000;
/// The number of kills of one backfill, unless `KILLS` is set.
const KILLS: u32 = 30;

/// A process that is killed when its test ends.
struct KilledOnDrop(Child);

impl Drop for KilledOnDrop {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl KilledOnDrop {
    fn start(command: &mut Command) -> Self {
        Self(
            command
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap(),
        )
    }

    fn has_ended(&mut self) -> bool {
        self.0.try_wait().unwrap().is_some()
    }

    /// Waits for its end. Returns the exit code, and the text of both streams.
    fn end(mut self) -> (i32, String) {
        let (mut out, mut err) = (self.0.stdout.take().unwrap(), self.0.stderr.take().unwrap());
        let read = thread::spawn(move || {
            let mut said = String::new();
            err.read_to_string(&mut said).unwrap();
            out.read_to_string(&mut said).unwrap();
            said
        });
        wait_until("the process ends", || self.has_ended());
        let code = self.0.wait().unwrap().code().expect("it was killed by a signal");
        (code, read.join().unwrap())
    }
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    for _ in 0..MAX_TICKS {
        if done() {
            return;
        }
        sleep(TICK);
    }
    panic!("not in time: {what}");
}

fn start_sandbox() -> Sandbox {
    Sandbox::start(&["sandbox.conversations_per_day=300"])
}

/// A backfill of ten days in forty shards, in a folder of its own.
struct Backfill {
    folder: TempDir,
    set: Vec<String>,
}

impl Backfill {
    fn of(sandbox: &Sandbox) -> Self {
        let url = sandbox.url();
        let (api, login) = (format!("source.api_url={url}"), format!("source.login_url={url}"));
        let set = [api.as_str(), &login, "fetch.shard=6h", "budget.requests=0"];
        let set = [&set[..], &CREDENTIALS, &SIMULATED[1..]].concat();
        Self {
            folder: tempfile::tempdir().unwrap(),
            set: set.into_iter().map(str::to_owned).collect(),
        }
    }

    /// The same in 120 shards, with small files and a larger ledger.
    fn fine(sandbox: &Sandbox) -> Self {
        let mut fine = Self::of(sandbox);
        fine.set.push("fetch.shard=2h".to_owned());
        fine
    }

    /// The same with a low rate limit, so that there is time to disturb it.
    fn slow(sandbox: &Sandbox) -> Self {
        let mut slow = Self::of(sandbox);
        slow.set.extend(["budget.requests=100".to_owned(), "budget.per=1s".to_owned()]);
        slow
    }

    fn command(&self, command: &str) -> Command {
        let mut command = program(self.folder.path(), &[command]);
        set(&mut command, &self.set);
        command
    }

    fn start(&self, command: &str) -> KilledOnDrop {
        KilledOnDrop::start(&mut self.command(command))
    }

    /// Runs it with a limit on the size of files in blocks, which fails like a full disk.
    fn start_with_files_of(&self, blocks: u32) -> KilledOnDrop {
        let mut shell = Command::new("sh");
        shell.args(["-c", r#"trap "" XFSZ; ulimit -f "$0"; exec "$@""#, &blocks.to_string()]);
        let run = self.command("run");
        shell.arg(run.get_program()).args(run.get_args());
        KilledOnDrop::start(shell.current_dir(self.folder.path()))
    }

    fn output(&self) -> PathBuf {
        self.folder.path().join("out")
    }

    /// Runs it to its end undisturbed, and verifies the output.
    fn complete(&self) -> Rows {
        for (command, end) in
            [("run", ""), ("verify", ": all as the ledger says\n"), ("status", ": complete\n")]
        {
            let (code, said) = self.start(command).end();
            assert!(code == 0 && said.ends_with(end), "{command}: {code}: {said}");
        }
        let files: BTreeSet<_> = files(&self.output())
            .into_iter()
            .filter(|file| !file.starts_with("_ledger."))
            .collect();
        let snapshot = Snapshot::read(&self.output().join(LEDGER)).unwrap();
        assert_eq!(
            files,
            snapshot.paths().map(str::to_owned).collect(),
            "G3: files that no record names"
        );
        rows(&self.output())
    }
}

/// Rows by id, each as a batch of one row.
type Rows = BTreeMap<String, RecordBatch>;

/// Every row of every file.
fn rows(output: &Path) -> Rows {
    let mut rows = Rows::new();
    for file in files(output).into_iter().filter(|file| file.ends_with(".parquet")) {
        let file = fs::File::open(output.join(file)).unwrap();
        for batch in ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap() {
            let batch = batch.unwrap();
            let ids = batch.column_by_name("conversationId").unwrap().as_string::<i32>();
            for (row, id) in ids.iter().enumerate() {
                let doubled = rows.insert(id.unwrap().to_owned(), batch.slice(row, 1));
                assert!(doubled.is_none(), "{id:?} is there twice");
            }
        }
    }
    rows
}

/// The path of every file below a folder, partial ones included.
fn files(root: &Path) -> Vec<String> {
    let (mut folders, mut files) = (vec![root.to_owned()], Vec::new());
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path()) {
            match path.is_dir() {
                true => folders.push(path),
                false => files.push(path.strip_prefix(root).unwrap().to_str().unwrap().to_owned()),
            }
        }
    }
    files
}

fn undisturbed(sandbox: &Sandbox) -> Rows {
    let rows = Backfill::of(sandbox).complete();
    assert_eq!(rows.len(), 10 * 300);
    rows
}

/// Checks that all rows are equal, and names those that differ.
fn assert_same(rows: &Rows, undisturbed: &Rows) {
    let differ: Vec<_> = undisturbed
        .iter()
        .filter(|(id, row)| rows.get(*id) != Some(row))
        .map(|(id, _)| id)
        .collect();
    let more = rows.len() as i64 - undisturbed.len() as i64;
    assert!(
        differ.is_empty() && more == 0,
        "{more} rows too many; missing or different: {differ:?}"
    );
}

#[test]
fn g3_killed_at_any_instant_and_resumed_the_output_is_that_of_an_undisturbed_run() {
    let seed = number("SEED").unwrap_or(4);
    let max_kills = number("KILLS").unwrap_or(KILLS.into());
    let mut rng = fastrand::Rng::with_seed(seed);
    let sandbox = start_sandbox();
    let undisturbed = undisturbed(&sandbox);
    let mut killed = Backfill::slow(&sandbox);
    let plain = killed.set.len();
    let (mut kills, mut unrecorded) = (0, 0);
    while kills < max_kills {
        // other shards and actors in each run
        let shape =
            [format!("fetch.shard={}h", rng.u32(2..9)), format!("fetch.actors={}", rng.u32(1..8))];
        killed.set.splice(plain.., shape);
        let mut run = killed.start("run");
        sleep(Duration::from_millis(rng.u64(20..120)));
        if rng.bool() {
            // commits are short: wait for one
            let written =
                || files(&killed.output()).iter().filter(|file| file.contains(".parquet")).count();
            let before = written();
            wait_until("a file is written", || written() > before || run.has_ended());
            sleep(Duration::from_micros(rng.u64(0..4_000)));
        }
        if run.has_ended() {
            break;
        }
        drop(run);
        kills += 1;
        unrecorded += u32::from(has_uncommitted_file(&killed));
    }
    assert_same(&killed.complete(), &undisturbed);
    eprintln!(
        "seed {seed}: killed {kills} times, and {unrecorded} times there was a file without a record"
    );
    assert!(kills > 5, "seed {seed}: {kills} kills prove little");
}

#[test]
#[allow(clippy::disallowed_methods)] // another process is killed in real time
fn g3_killed_during_refreshes_a_reader_of_the_ledger_finds_every_id_once() {
    let seed = number("SEED").unwrap_or(7);
    let most_kills = number("KILLS").unwrap_or(6);
    let mut rng = fastrand::Rng::with_seed(seed);
    let sandbox = start_sandbox();
    let mut refreshed = Backfill::slow(&sandbox);
    let undisturbed = refreshed.complete();
    let ids: BTreeSet<_> = undisturbed.keys().cloned().collect();
    refreshed.set.push("job.refresh=30d".to_owned());
    let plain = refreshed.set.len();
    let (mut kills, mut reads, mut staged) = (0, 0, 0);
    while kills < most_kills {
        let shape =
            [format!("fetch.shard={}h", rng.u32(3..60)), format!("fetch.actors={}", rng.u32(1..8))];
        refreshed.set.splice(plain.., shape);
        let mut run = refreshed.start("run");
        let deadline = Instant::now() + Duration::from_millis(rng.u64(30..1_500));
        while Instant::now() < deadline && !run.has_ended() {
            assert_eq!(committed_ids(&refreshed.output()), ids, "seed {seed}, while it runs");
            reads += 1;
        }
        kills += u64::from(!run.has_ended());
        drop(run);
        let is_staged = |file: &String| file.starts_with("_staging/");
        staged += u32::from(files(&refreshed.output()).iter().any(is_staged));
        assert_eq!(committed_ids(&refreshed.output()), ids, "seed {seed}, after {kills} kills");
    }
    refreshed.set.truncate(plain - 1);
    assert_same(&refreshed.complete(), &undisturbed);
    eprintln!(
        "seed {seed}: killed {kills} refreshes, {staged} of them with staged files, and read \
        {reads} times while they ran"
    );
}

/// The ids in the files that the ledger names. It is read again if it has changed meanwhile.
fn committed_ids(output: &Path) -> BTreeSet<String> {
    loop {
        let paths = || -> Vec<String> {
            let snapshot = Snapshot::read(&output.join(LEDGER)).unwrap();
            snapshot.paths().map(str::to_owned).collect()
        };
        let before = paths();
        let mut ids = BTreeSet::new();
        let complete = before.iter().all(|path| match fs::File::open(output.join(path)) {
            Ok(file) => {
                for id in ids_in(file) {
                    assert!(ids.insert(id.clone()), "{id} is committed twice");
                }
                true
            }
            Err(error) => {
                assert_eq!(error.kind(), io::ErrorKind::NotFound, "{path}: {error}");
                false
            }
        });
        if complete {
            return ids;
        }
        assert_ne!(paths(), before, "a file that the ledger names is missing");
    }
}

fn ids_in(file: fs::File) -> Vec<String> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
    let mask = ProjectionMask::columns(reader.parquet_schema(), ["conversationId"]);
    let mut ids = Vec::new();
    for batch in reader.with_projection(mask).build().unwrap() {
        let batch = batch.unwrap();
        ids.extend(batch.column(0).as_string::<i32>().iter().map(|id| id.unwrap().to_owned()));
    }
    ids
}

/// Checks that the output of a killed run is as its ledger says, except for files that were not
/// committed yet. Returns whether there is such a file.
fn has_uncommitted_file(killed: &Backfill) -> bool {
    if !killed.output().join(LEDGER).exists() {
        return false;
    }
    let (code, said) = killed.start("verify").end();
    let files = files(&killed.output());
    let lines: Vec<_> = said.lines().filter(|line| line.contains(".parquet: ")).collect();
    assert!(lines.iter().all(|line| line.contains("the ledger does not know it")), "{said}");
    assert_eq!(code, i32::from(!lines.is_empty()), "{said}");
    !lines.is_empty() || files.iter().any(|file| file.contains('#'))
}

/// Disturbs a run after its first file: it must name the cause, and resume after the disturbance.
fn expect_resume_after(disturb: impl Fn(&Path), restore: impl Fn(&Path)) {
    let sandbox = start_sandbox();
    let backfill = Backfill::slow(&sandbox);
    let run = backfill.start("run");
    let output = backfill.output();
    wait_until("a file is written", || {
        files(&output).iter().any(|file| file.ends_with(".parquet"))
    });
    disturb(&output);
    let (code, said) = run.end();
    restore(&output);
    assert_eq!(code, 4, "{said}");
    assert!(said.contains("error: the output failed") && said.contains("then run again"), "{said}");
    let committed =
        Snapshot::read(&output.join(LEDGER)).unwrap().datasets["conversations"].shards.len();
    assert!((1..40).contains(&committed), "{committed} shards were committed");
    assert_same(&backfill.complete(), &undisturbed(&sandbox));
}

#[test]
fn a_folder_that_cannot_be_made_ends_the_run_with_4_and_can_be_resumed() {
    let folder = |output: &Path| output.join("conversations/date=2024-01-10");
    expect_resume_after(
        |output| fs::write(folder(output), "in the way").unwrap(),
        |output| fs::remove_file(folder(output)).unwrap(),
    );
}

#[test]
fn an_output_that_becomes_read_only_ends_the_run_with_4_and_can_be_resumed() {
    let set =
        |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    let probe = tempfile::tempdir().unwrap();
    set(probe.path(), 0o555);
    if fs::write(probe.path().join("file"), "").is_ok() {
        return eprintln!("skipped: this user may write anywhere");
    }
    expect_resume_after(
        |output| set(&output.join("conversations"), 0o555),
        |output| set(&output.join("conversations"), 0o755),
    );
}

#[test]
fn a_full_disk_ends_the_run_with_4_and_can_be_resumed() {
    let sandbox = start_sandbox();
    let backfill = Backfill::fine(&sandbox);
    // too small for the ledger, for a Parquet file, for the ledger's log
    for blocks in [8, 160, 400] {
        let (code, said) = backfill.start_with_files_of(blocks).end();
        assert_eq!(code, 4, "{blocks} blocks: {said}");
        assert!(said.contains("error: ") && said.contains("disk"), "{blocks} blocks: {said}");
        assert!(!said.contains("panicked"), "{blocks} blocks: {said}");
        eprintln!(
            "{blocks} blocks: {}",
            said.lines().find(|line| line.starts_with("error")).unwrap_or_default()
        );
    }
    assert_same(&backfill.complete(), &undisturbed(&sandbox));
}
