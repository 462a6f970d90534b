//! The real binary beside a sandbox in a process of its own: killed, hindered, out of disk, and
//! resumed. Each time the output must be that of an undisturbed run, row for row.
//! `SEED=17 cargo test --test it recovery` draws other instants.
#![cfg(unix)]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::{BufRead, BufReader, Read},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread::{self, sleep},
    time::Duration,
};

use arrow::{array::AsArray, record_batch::RecordBatch};
use cxbackfill::testing::{LEDGER, Snapshot};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use tempfile::TempDir;

/// A process is looked at so often, at most so many times.
const TICK: Duration = Duration::from_millis(2);
const PATIENCE: u32 = 10_000;
/// Kills of one backfill.
const MOST_KILLS: u32 = 30;

/// A process that ends with its test.
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

    fn is_over(&mut self) -> bool {
        self.0.try_wait().unwrap().is_some()
    }

    /// Waits for its end: the exit code, and what it said on either stream.
    fn end(mut self) -> (i32, String) {
        let (mut out, mut err) = (self.0.stdout.take().unwrap(), self.0.stderr.take().unwrap());
        let read = thread::spawn(move || {
            let mut said = String::new();
            err.read_to_string(&mut said).unwrap();
            out.read_to_string(&mut said).unwrap();
            said
        });
        wait_until("the process ends", || self.is_over());
        let code = self.0.wait().unwrap().code().expect("it was killed by a signal");
        (code, read.join().unwrap())
    }
}

fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    for _ in 0..PATIENCE {
        if done() {
            return;
        }
        sleep(TICK);
    }
    panic!("not in time: {what}");
}

fn program() -> Command {
    Command::new(env!("CARGO_BIN_EXE_cxbackfill"))
}

/// The API, in a process that nothing happens to.
struct Sandbox {
    url: String,
    _process: KilledOnDrop,
}

impl Sandbox {
    fn start() -> Self {
        let set = ["--set", "sandbox.requests=0", "--set", "sandbox.conversations_per_day=300"];
        let mut process = KilledOnDrop::start(
            program().arg("sandbox").args(set).current_dir(std::env::temp_dir()),
        );
        let mut line = String::new();
        BufReader::new(process.0.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        Self {
            url: line.trim().strip_prefix("listening on ").unwrap().to_owned(),
            _process: process,
        }
    }
}

/// A backfill of ten days in forty shards, in a folder of its own.
struct Backfill {
    folder: TempDir,
    set: Vec<String>,
}

impl Backfill {
    fn of(sandbox: &Sandbox) -> Self {
        let (api, login) = (
            format!("source.api_url={}", sandbox.url),
            format!("source.login_url={}", sandbox.url),
        );
        let set = [api.as_str(), &login, "fetch.shard=6h", "budget.requests=0"];
        Self { folder: tempfile::tempdir().unwrap(), set: set.map(str::to_owned).into() }
    }

    /// The same in a hundred and twenty shards, whose files are small and whose ledger is not.
    fn fine(sandbox: &Sandbox) -> Self {
        let mut fine = Self::of(sandbox);
        fine.set.push("fetch.shard=2h".to_owned());
        fine
    }

    /// The same at a pace that leaves time to hinder it.
    fn slow(sandbox: &Sandbox) -> Self {
        let mut slow = Self::of(sandbox);
        slow.set.extend(["budget.requests=100".to_owned(), "budget.per=1s".to_owned()]);
        slow
    }

    fn arguments(&self, command: &str) -> Vec<String> {
        let set = self.set.iter().flat_map(|set| ["--set".to_owned(), set.clone()]);
        [command.to_owned()].into_iter().chain(set).collect()
    }

    fn start(&self, command: &str) -> KilledOnDrop {
        KilledOnDrop::start(program().args(self.arguments(command)).current_dir(self.folder.path()))
    }

    /// Runs it where no file may grow past so many blocks, as on a full disk.
    fn start_with_files_of(&self, blocks: u32) -> KilledOnDrop {
        let mut shell = Command::new("sh");
        shell.args(["-c", r#"trap "" XFSZ; ulimit -f "$0"; exec "$@""#, &blocks.to_string()]);
        shell.arg(program().get_program()).args(self.arguments("run"));
        KilledOnDrop::start(shell.current_dir(self.folder.path()))
    }

    fn output(&self) -> PathBuf {
        self.folder.path().join("out")
    }

    /// Runs it to its end, undisturbed, and holds the output against itself.
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
        let history = Snapshot::read(&self.output().join(LEDGER)).unwrap();
        assert_eq!(
            files,
            history.paths().map(str::to_owned).collect(),
            "G3: files that no record names"
        );
        rows(&self.output())
    }
}

/// Rows by their id, each a batch of one.
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

/// The path of every file below a folder, half-written ones too.
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

/// Equal in every field of every row; says which differ, and not how.
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
    let seed = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(4);
    let mut rng = fastrand::Rng::with_seed(seed);
    let sandbox = Sandbox::start();
    let undisturbed = undisturbed(&sandbox);
    let mut killed = Backfill::slow(&sandbox);
    let plain = killed.set.len();
    let (mut kills, mut unrecorded) = (0, 0);
    while kills < MOST_KILLS {
        // as if its owner changed their mind: what is left is cut otherwise each time
        let shape =
            [format!("fetch.shard={}h", rng.u32(2..9)), format!("fetch.actors={}", rng.u32(1..8))];
        killed.set.splice(plain.., shape);
        let mut run = killed.start("run");
        sleep(Duration::from_millis(rng.u64(20..120)));
        if rng.bool() {
            // a commit is short: wait for one
            let written =
                || files(&killed.output()).iter().filter(|file| file.contains(".parquet")).count();
            let before = written();
            wait_until("a file is written", || written() > before || run.is_over());
            sleep(Duration::from_micros(rng.u64(0..4_000)));
        }
        if run.is_over() {
            break;
        }
        drop(run);
        kills += 1;
        unrecorded += u32::from(is_consistent(&killed));
    }
    assert_same(&killed.complete(), &undisturbed);
    eprintln!(
        "seed {seed}: killed {kills} times, and {unrecorded} times there was a file without a record"
    );
    assert!(kills > 5, "seed {seed}: {kills} kills prove little");
}

/// Asserts that what a killed run left is as its ledger says, but for files whose commit was to
/// come; says whether there is such a file.
fn is_consistent(killed: &Backfill) -> bool {
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

/// Hinders a run once it has written a file; it must say so, and go on where it stood when it is
/// hindered no more.
fn hinder(hinder: impl Fn(&Path), relent: impl Fn(&Path)) {
    let sandbox = Sandbox::start();
    let backfill = Backfill::slow(&sandbox);
    let run = backfill.start("run");
    let output = backfill.output();
    wait_until("a file is written", || {
        files(&output).iter().any(|file| file.ends_with(".parquet"))
    });
    hinder(&output);
    let (code, said) = run.end();
    relent(&output);
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
    hinder(
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
        return eprintln!("skipped: this user may write anywhere, so permissions hinder nothing");
    }
    hinder(
        |output| set(&output.join("conversations"), 0o555),
        |output| set(&output.join("conversations"), 0o755),
    );
}

#[test]
fn a_full_disk_ends_the_run_with_4_and_can_be_resumed() {
    let sandbox = Sandbox::start();
    let backfill = Backfill::fine(&sandbox);
    // too small for the ledger, for a file of rows, for the ledger's log
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
