//! The real binary as a child process: a sandbox, and backfills from it.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
};

use serde_json::Value;
use tempfile::TempDir;

/// Rows of a row group in the files of a [`Job`]: a day's rows take several.
pub const ROW_GROUP_ROWS: &str = "40";

/// What makes a backfill quick: no quota, small pages, short pauses.
const QUICK: [&str; 4] =
    ["budget.requests=0", "fetch.page_size=20", "retry.first=10ms", "retry.longest=100ms"];

/// `cxbackfill sandbox`, until it is dropped.
pub struct Sandbox {
    child: Child,
    address: String,
}

impl Sandbox {
    /// Starts it on a free port, with 200 conversations a day and no quota but what `settings` say.
    pub fn start(settings: &[&str]) -> Self {
        let mut command =
            command(&["sandbox"], &["sandbox.requests=0", "sandbox.conversations_per_day=200"]);
        let child = with(&mut command, settings).stdout(Stdio::piped()).spawn().unwrap();
        // guarded before anything can fail
        let mut sandbox = Self { child, address: String::new() };
        let mut line = String::new();
        BufReader::new(sandbox.child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        sandbox.address = line.trim().strip_prefix("listening on http://").expect(&line).to_owned();
        sandbox
    }

    /// Every conversation that started in the interval, as NDJSON.
    pub fn truth(&self, from: &str, to: &str) -> String {
        self.truth_of("genesys-cloud", "conversations", from, to)
    }

    /// Every row of a dataset that the interval owns, as NDJSON.
    pub fn truth_of(&self, platform: &str, dataset: &str, from: &str, to: &str) -> String {
        let dataset = dataset.replace('+', "%2B");
        self.get(&format!(
            "/sandbox/truth?platform={platform}&dataset={dataset}&from={from}&to={to}"
        ))
    }

    /// What it has seen.
    pub fn stats(&self) -> Value {
        serde_json::from_str(&self.get("/sandbox/stats")).unwrap()
    }

    fn get(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        // 1.0: the connection ends with the body, which comes in one piece
        write!(stream, "GET {path} HTTP/1.0\r\nHost: {}\r\n\r\n", self.address).unwrap();
        let mut reply = String::new();
        stream.read_to_string(&mut reply).unwrap();
        let (head, body) = reply.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(" 200 "), "{path}: {reply}");
        body.to_owned()
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        // it may have ended by itself, and then the test has failed already
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Backfills from a sandbox into one temporary folder.
pub struct Job<'a> {
    sandbox: &'a Sandbox,
    folder: TempDir,
}

impl<'a> Job<'a> {
    /// A job without output yet.
    pub fn new(sandbox: &'a Sandbox) -> Self {
        Self { sandbox, folder: TempDir::new().unwrap() }
    }

    /// Where its rows are.
    pub fn rows(&self) -> PathBuf {
        self.folder("conversations")
    }

    /// Where the rows of a dataset are.
    pub fn folder(&self, dataset: &str) -> PathBuf {
        self.folder.path().join("out").join(dataset)
    }

    /// `cxbackfill run` over `[from, to)` with more settings. It runs in the temporary folder, where
    /// no configuration but the built-in one is found.
    pub fn command(&self, from: &str, to: &str, settings: &[&str]) -> Command {
        self.command_of(&["run", "--summary", "json"], from, to, settings)
    }

    /// Another command of the same job.
    pub fn command_of(
        &self,
        arguments: &[&str],
        from: &str,
        to: &str,
        settings: &[&str],
    ) -> Command {
        let mut command = command(arguments, &QUICK);
        let url = format!("http://{}", self.sandbox.address);
        for (key, value) in [
            ("source.api_url", url.as_str()),
            ("source.login_url", &url),
            ("job.from", from),
            ("job.to", to),
            ("output.row_group_rows", ROW_GROUP_ROWS),
        ] {
            command.args(["--set", &format!("{key}={value}")]);
        }
        with(&mut command, settings).current_dir(self.folder.path());
        command
    }

    /// `cxbackfill verify --remote` of its output, against any sandbox.
    pub fn verify(&self, sandbox: &Sandbox, from: &str, to: &str) -> Output {
        let url = format!("http://{}", sandbox.address);
        let mut command = command(&["verify", "--remote"], &QUICK);
        for (key, value) in [
            ("source.api_url", url.as_str()),
            ("source.login_url", &url),
            ("job.from", from),
            ("job.to", to),
        ] {
            command.args(["--set", &format!("{key}={value}")]);
        }
        command.current_dir(self.folder.path()).output().unwrap()
    }

    /// Runs it to its end, which must be 0, and gives its summary.
    pub fn run(&self, from: &str, to: &str, settings: &[&str]) -> Value {
        let output = self.command(from, to, settings).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
        summary(&output)
    }
}

/// The summary on standard output.
pub fn summary(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

/// Whether a Parquet file lies somewhere below `folder`.
pub fn has_files(folder: &Path) -> bool {
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    entries.flatten().any(|entry| {
        entry.path().extension().is_some_and(|end| end == "parquet") || has_files(&entry.path())
    })
}

fn command(arguments: &[&str], settings: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cxbackfill"));
    with(command.args(arguments), settings);
    command
}

fn with<'c>(command: &'c mut Command, settings: &[&str]) -> &'c mut Command {
    settings.iter().fold(command, |command, setting| command.args(["--set", setting]))
}
