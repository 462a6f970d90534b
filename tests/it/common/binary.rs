//! The real program as a child process: a sandbox, and backfills from it.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
};

use serde_json::Value;
use tempfile::TempDir;

/// Rows of a row group in the files of a [`Job`]: a day has several row groups.
pub const ROW_GROUP_ROWS: &str = "40";

/// Settings of a fast backfill: no quota, small pages, short pauses.
const FAST: [&str; 4] =
    ["budget.requests=0", "fetch.page_size=20", "retry.first=10ms", "retry.longest=100ms"];

/// The credentials of a client that any sandbox accepts.
pub const CREDENTIALS: [&str; 2] = ["auth.client_id=sandbox", "auth.client_secret=sandbox"];

/// A backfill of ten days from a simulator in the process itself.
pub const SIMULATED: [&str; 3] =
    ["source.region=sandbox", "job.from=2024-01-01T00:00:00Z", "job.to=2024-01-11T00:00:00Z"];

/// `cxbackfill sandbox`, until it is dropped.
pub struct Sandbox {
    child: Child,
    address: String,
}

impl Sandbox {
    /// Starts it on a free port, with 200 conversations a day and no quota unless `settings`
    /// differ.
    pub fn start(settings: &[&str]) -> Self {
        let mut command = program(&std::env::temp_dir(), &["sandbox"]);
        set(&mut command, &["sandbox.requests=0", "sandbox.conversations_per_day=200"]);
        let child = set(&mut command, settings).stdout(Stdio::piped()).spawn().unwrap();
        // the guard kills the process if anything below fails
        let mut sandbox = Self { child, address: String::new() };
        let mut line = String::new();
        BufReader::new(sandbox.child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        sandbox.address = line.trim().strip_prefix("listening on http://").expect(&line).to_owned();
        sandbox
    }

    /// Its address.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Every conversation that started in the interval, as NDJSON.
    pub fn truth(&self, from: &str, to: &str) -> String {
        self.truth_of("genesys-cloud", "conversations", from, to)
    }

    /// Every row of a dataset that starts in the interval, as NDJSON.
    pub fn truth_of(&self, platform: &str, dataset: &str, from: &str, to: &str) -> String {
        let dataset = dataset.replace('+', "%2B");
        self.get(&format!(
            "/sandbox/truth?platform={platform}&dataset={dataset}&from={from}&to={to}"
        ))
    }

    /// Its counts of requests.
    pub fn stats(&self) -> Value {
        serde_json::from_str(&self.get("/sandbox/stats")).unwrap()
    }

    fn get(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        // HTTP/1.0: the connection ends with the body, which is not chunked
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
        // if it has ended by itself the test has failed already
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

    /// The folder of its conversations.
    pub fn rows(&self) -> PathBuf {
        self.folder("conversations")
    }

    /// The folder of a dataset in its output.
    pub fn folder(&self, dataset: &str) -> PathBuf {
        self.folder.path().join("out").join(dataset)
    }

    /// `cxbackfill run` over `[from, to)` with more settings, in the temporary folder.
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
        let mut command = self.command_against(self.sandbox, arguments, from, to);
        set(&mut command, &[&format!("output.row_group_rows={ROW_GROUP_ROWS}")]);
        set(&mut command, settings);
        command
    }

    /// A command of this job against any sandbox.
    fn command_against(
        &self,
        sandbox: &Sandbox,
        arguments: &[&str],
        from: &str,
        to: &str,
    ) -> Command {
        let mut command = program(self.folder.path(), arguments);
        set(&mut command, &FAST);
        set(&mut command, &CREDENTIALS);
        let url = sandbox.url();
        let hosts = [format!("source.api_url={url}"), format!("source.login_url={url}")];
        set(&mut command, &hosts);
        set(&mut command, &[format!("job.from={from}"), format!("job.to={to}")]);
        command
    }

    /// `cxbackfill verify --remote` of its output, against any sandbox.
    pub fn verify(&self, sandbox: &Sandbox, from: &str, to: &str) -> Output {
        self.command_against(sandbox, &["verify", "--remote"], from, to).output().unwrap()
    }

    /// Runs it, expects exit code 0 and returns its summary.
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

/// Whether there is a Parquet file below `folder`.
pub fn has_files(folder: &Path) -> bool {
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    entries.flatten().any(|entry| {
        entry.path().extension().is_some_and(|end| end == "parquet") || has_files(&entry.path())
    })
}

/// The program with these arguments. It runs in `folder` and finds no configuration elsewhere.
pub fn program(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cxbackfill"));
    command.current_dir(folder).args(arguments).stdin(Stdio::null());
    command
}

/// The program without logs, for assertions on what it prints.
pub fn quiet_program(folder: &Path) -> assert_cmd::Command {
    let mut command = program(folder, &[]);
    command.env("RUST_LOG", "off");
    assert_cmd::Command::from_std(command)
}

/// Adds `--set` for each setting.
pub fn set<'c, S: AsRef<str>>(command: &'c mut Command, settings: &[S]) -> &'c mut Command {
    for setting in settings {
        command.args(["--set", setting.as_ref()]);
    }
    command
}
