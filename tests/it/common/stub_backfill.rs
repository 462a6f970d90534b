//! Backfills from a stub API on virtual time.

use std::sync::{
    Arc,
    atomic::{AtomicU8, Ordering},
};

use arrow::array::AsArray;
use cxbackfill::testing::{
    Config, Environment, Ledger, OutputStore, Overrides, RunOutcome, Scope, run,
};
use object_store::{ObjectStoreExt, memory::InMemory};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use tokio::{
    runtime::Builder,
    time::{Duration, Instant},
};
use tokio_util::sync::CancellationToken;

use super::{
    environment::{environment, on_virtual_time},
    stub_transport::{Stub, StubRequest, StubResponse},
};

/// The result of a run.
pub struct StubResult {
    /// The ids of the rows in the files.
    pub rows: Vec<String>,
    /// The recorded rows that cannot be decoded.
    pub quarantined: Vec<String>,
    /// The reasons of the gaps, or the reason why the run ended.
    pub gaps: Vec<String>,
    /// The exit code.
    pub code: u8,
    /// The virtual time that the run took.
    pub elapsed: Duration,
    /// The requests that the stub received.
    pub requests: Vec<String>,
    /// `shards_committed` of the summary.
    pub committed: u64,
}

/// Backfills one day of the dataset `rows` on virtual time.
pub fn backfill(catalog: &str, stub: &Arc<Stub>) -> StubResult {
    backfill_with(catalog, "", stub)
}

/// The same with more configuration.
pub fn backfill_with(catalog: &str, more: &str, stub: &Arc<Stub>) -> StubResult {
    backfill_until(catalog, more, &[], stub, CancellationToken::new())
}

/// The same with settings that override the configuration, and one fetcher, so that the order of
/// requests is that of the plan.
pub fn backfill_in_order(
    catalog: &str,
    settings: &[&str],
    answer: impl Fn(&StubRequest) -> StubResponse + Send + Sync + 'static,
) -> StubResult {
    let settings = [&["fetch.actors=1"], settings].concat();
    let stub = Stub::new("/oauth/token", answer);
    backfill_until(catalog, "", &settings, &stub, CancellationToken::new())
}

/// The same with settings that override the configuration, and a token that ends the run.
pub fn backfill_until(
    catalog: &str,
    more: &str,
    settings: &[&str],
    stub: &Arc<Stub>,
    shutdown: CancellationToken,
) -> StubResult {
    StubBackfill::new(catalog, more, settings).run(stub, shutdown)
}

/// A backfill of one day of the dataset `rows`: its configuration and its output, which several
/// runs share.
pub struct StubBackfill {
    pub config: Config,
    memory: Arc<InMemory>,
    ledger: Ledger,
}

impl StubBackfill {
    pub fn new(catalog: &str, more: &str, settings: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("rows.toml"), catalog).unwrap();
        let config = "
            [job]\nfrom = '2024-01-01T00:00:00Z'\nto = '2024-01-02T00:00:00Z'\ndatasets = ['rows']
            [source]\nplatform = 'custom'\ncatalog = 'rows.toml'
            api_url = 'https://api.example'\nlogin_url = 'https://api.example'
            [auth]\nclient_id = 'c'\nclient_secret = 's'
            [budget]\nrequests = 0\n";
        std::fs::write(folder.path().join("config.toml"), format!("{config}{more}")).unwrap();
        let path = Some(folder.path().join("config.toml"));
        let set = settings.iter().map(ToString::to_string).collect();
        let overrides = Overrides { path, set, ..Overrides::default() };
        Self {
            config: Config::load(&overrides).unwrap().remove(0),
            memory: Arc::new(InMemory::new()),
            ledger: Ledger::in_memory().unwrap(),
        }
    }

    /// Runs the backfill on virtual time.
    pub fn run(&self, stub: &Arc<Stub>, shutdown: CancellationToken) -> StubResult {
        self.run_scope(Scope::Missing, stub, shutdown)
    }

    /// Fetches what failed or is doubtful, as `--retry-failed` does.
    pub fn retry_failed(&self, stub: &Arc<Stub>) -> StubResult {
        self.run_scope(Scope::Failed, stub, CancellationToken::new())
    }

    fn run_scope(&self, scope: Scope, stub: &Arc<Stub>, shutdown: CancellationToken) -> StubResult {
        let Self { config, memory, ledger } = self;
        let output = OutputStore::over(Arc::clone(memory) as Arc<_>);
        let environment = environment(Arc::clone(stub) as Arc<_>, output.clone(), ledger.clone());
        let environment = Environment { shutdown, ..environment };
        let (outcome, committed, elapsed) = on_virtual_time(async {
            let start = Instant::now();
            let plan = run::prepare(config, scope, &output, ledger).await.unwrap();
            let report = run::backfill(config, plan, &environment).await.unwrap();
            (report.outcome, report.summary.shards_committed, start.elapsed())
        });
        let code = outcome.exit_code() as u8;
        let gaps = match outcome {
            RunOutcome::Complete => Vec::new(),
            RunOutcome::Gaps(gaps) => {
                gaps.iter().map(|gap| format!("{}: {}", gap.cause.name(), gap.reason)).collect()
            }
            RunOutcome::Denied(reason) | RunOutcome::Fatal(reason) => vec![reason],
            RunOutcome::Interrupted => vec!["interrupted".to_owned()],
            other => panic!("{other}"),
        };
        let (rows, quarantined) = (rows(memory, ledger), quarantined(memory, ledger));
        let requests = stub.requests();
        StubResult { rows, quarantined, gaps, code, elapsed, requests, committed }
    }
}

/// A backfill of which each run chooses how the API answers: by a number that `answer` knows.
pub struct SwitchedBackfill {
    pub backfill: StubBackfill,
    stub: Arc<Stub>,
    mode: Arc<AtomicU8>,
}

impl SwitchedBackfill {
    pub fn new(
        catalog: &str,
        settings: &[&str],
        answer: fn(&StubRequest, u8) -> StubResponse,
    ) -> Self {
        let mode = Arc::new(AtomicU8::new(0));
        let current = Arc::clone(&mode);
        let answer = move |request: &StubRequest| answer(request, current.load(Ordering::Relaxed));
        let stub = Stub::new("/oauth/token", answer);
        Self { backfill: StubBackfill::new(catalog, "", settings), stub, mode }
    }

    /// The result of a run, with the requests of this run alone.
    pub fn run(&self, mode: u8) -> StubResult {
        self.mode.store(mode, Ordering::Relaxed);
        let before = self.stub.requests().len();
        let mut result = self.backfill.run(&self.stub, CancellationToken::new());
        result.requests.drain(..before);
        result
    }
}

/// The rows of the recorded quarantine files, as they came.
fn quarantined(store: &InMemory, ledger: &Ledger) -> Vec<String> {
    let runtime = Builder::new_current_thread().build().unwrap();
    let mut rows = Vec::new();
    let paths = ledger.file_paths().unwrap();
    for path in paths.into_iter().filter(|path| path.ends_with(".ndjson")) {
        let content = runtime
            .block_on(async { store.get(&path.into()).await.unwrap().bytes().await.unwrap() });
        for line in str::from_utf8(&content).unwrap().lines() {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            rows.push(line["row"].as_str().unwrap().to_owned());
        }
    }
    rows.sort();
    rows
}

/// The rows of the recorded files, as `team id`.
fn rows(store: &InMemory, ledger: &Ledger) -> Vec<String> {
    let runtime = Builder::new_current_thread().build().unwrap();
    let mut rows = Vec::new();
    let paths = ledger.file_paths().unwrap();
    for path in paths.into_iter().filter(|path| path.ends_with(".parquet")) {
        let content = runtime
            .block_on(async { store.get(&path.into()).await.unwrap().bytes().await.unwrap() });
        for batch in ParquetRecordBatchReaderBuilder::try_new(content).unwrap().build().unwrap() {
            let batch = batch.unwrap();
            let [team, id] = ["team", "id"]
                .map(|name| batch.column_by_name(name).unwrap().as_string::<i32>().clone());
            rows.extend(
                (0..batch.num_rows()).map(|row| format!("{} {}", team.value(row), id.value(row))),
            );
        }
    }
    rows.sort();
    rows
}
