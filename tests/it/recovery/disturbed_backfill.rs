//! A backfill by the real program that a test kills or disturbs, and then completes.

use std::{
    collections::BTreeSet,
    io::Read,
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread::{self, sleep},
    time::Duration,
};

use cxbackfill::testing::{LEDGER, Snapshot};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tempfile::TempDir;

use crate::common::{
    binary::{CREDENTIALS, SIMULATED, Sandbox, program, set},
    output_rows::{Rows, files, rows},
};

/// How often a process is polled.
const TICK: Duration = Duration::from_millis(2);
/// How many times it is polled before the test fails.
const MAX_TICKS: u32 = 10_000;
/// A process that is killed when its test ends.
pub struct KilledOnDrop(Child);

impl Drop for KilledOnDrop {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl KilledOnDrop {
    pub fn start(command: &mut Command) -> Self {
        Self(
            command
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap(),
        )
    }

    pub fn interrupt(&self) {
        let id = Pid::from_raw(self.0.id().try_into().unwrap());
        kill(id, Signal::SIGINT).unwrap();
    }

    pub fn has_ended(&mut self) -> bool {
        self.0.try_wait().unwrap().is_some()
    }

    /// Waits for its end. Returns the exit code, and the text of both streams.
    pub fn end(mut self) -> (i32, String) {
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

pub fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    for _ in 0..MAX_TICKS {
        if done() {
            return;
        }
        sleep(TICK);
    }
    panic!("not in time: {what}");
}

/// A backfill of ten days in forty shards, in a folder of its own.
pub struct Backfill {
    folder: TempDir,
    /// The keys that are set.
    pub set: Vec<String>,
}

impl Backfill {
    pub fn of(sandbox: &Sandbox) -> Self {
        let url = sandbox.url();
        let (api, login) = (format!("source.api_url={url}"), format!("source.login_url={url}"));
        let set = [api.as_str(), &login, "fetch.shard=6h", "budget.requests=0"];
        let set = [&set[..], &CREDENTIALS, &SIMULATED[1..]].concat();
        Self {
            folder: tempfile::tempdir().unwrap(),
            set: set.into_iter().map(str::to_owned).collect(),
        }
    }

    /// The same until a day, in a layout.
    pub fn of_layout(sandbox: &Sandbox, layout: &str, to: &str) -> Self {
        let mut backfill = Self::of(sandbox);
        backfill.set.extend([format!("output.layout={layout}"), format!("job.to={to}")]);
        backfill
    }

    /// The same in shards of this width.
    pub fn in_shards(mut self, width: &str) -> Self {
        self.set.push(format!("fetch.shard={width}"));
        self
    }

    /// The same in 120 shards, with small files and a larger ledger.
    pub fn fine(sandbox: &Sandbox) -> Self {
        Self::of(sandbox).in_shards("2h")
    }

    /// The same with a low rate limit, so that there is time to disturb it.
    pub fn slowly(mut self) -> Self {
        self.set.extend(["budget.requests=100".to_owned(), "budget.per=1s".to_owned()]);
        self
    }

    /// A slow backfill of ten days.
    pub fn slow(sandbox: &Sandbox) -> Self {
        Self::of(sandbox).slowly()
    }

    pub fn command(&self, command: &str) -> Command {
        let mut command = program(self.folder.path(), &[command]);
        set(&mut command, &self.set);
        command
    }

    pub fn start(&self, command: &str) -> KilledOnDrop {
        KilledOnDrop::start(&mut self.command(command))
    }

    /// Runs it with a limit on the size of files in blocks, which fails like a full disk.
    pub fn start_with_files_of(&self, blocks: u32) -> KilledOnDrop {
        let mut shell = Command::new("sh");
        shell.args(["-c", r#"trap "" XFSZ; ulimit -f "$0"; exec "$@""#, &blocks.to_string()]);
        let run = self.command("run");
        shell.arg(run.get_program()).args(run.get_args());
        KilledOnDrop::start(shell.current_dir(self.folder.path()))
    }

    pub fn output(&self) -> PathBuf {
        self.folder.path().join("out")
    }

    /// Runs it to its end undisturbed, and verifies the output.
    pub fn complete(&self) -> Rows {
        for (command, end) in
            [("run", ""), ("verify", ": all as the ledger says\n"), ("status", ": complete\n")]
        {
            let (code, said) = self.start(command).end();
            assert!(code == 0 && said.ends_with(end), "{command}: {code}: {said}");
        }
        let files: BTreeSet<_> = files(&self.output())
            .into_iter()
            .filter(|file| !file.starts_with("_ledger."))
            .filter(|file| !["_report.html", "_report.json"].contains(&file.as_str()))
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
