//! A world from a seed: what goes wrong, when, and what the output must be all the same.

use std::{
    collections::{BTreeMap, HashSet},
    ops::AddAssign,
    sync::Arc,
};

use actix::System;
use arrow::{array::AsArray, record_batch::RecordBatch};
use bytes::Bytes;
use cxbackfill::testing::{
    Config, Decoder, Environment, Ledger, Metrics, OutputStore, PageParser, Region, RunOutcome,
    Scope, Stats, Summary, run,
};
use object_store::{ObjectStoreExt, memory::InMemory};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use tokio::runtime::Builder;
use tokio_util::sync::CancellationToken;

use super::{
    crash_store::CrashStore,
    faulty_transport::FaultyTransport,
    scenario::{Scenario, Stop},
};

/// Runs of one scenario: crashes are bounded, so it comes to an end.
const MOST_RUNS: usize = 12;

/// What was counted over a scenario's runs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    pub crashes: u64,
    pub interrupts: u64,
    pub refreshes: u64,
    pub splits: u64,
    pub retries: u64,
    pub throttled: u64,
    pub revoked: u64,
    pub duplicates: u64,
    pub poisoned: u64,
    /// Jobs, those of them that failed or were gone too soon, and those that a run has left.
    pub jobs: u64,
    pub lost: u64,
    pub orphans: u64,
}

/// Rows by their id, each a batch of one: equal in every field, or not equal.
pub type Rows = BTreeMap<String, RecordBatch>;

/// What came of it.
pub struct ScenarioResult {
    pub trace: Vec<String>,
    pub rows: Rows,
    pub truth: Rows,
    /// Files that no record names, and rows that are there twice.
    pub strays: Vec<String>,
    /// Jobs that the program knew of and that the region still has.
    pub jobs_left: Vec<String>,
    /// What the region saw of requests, and the most that left in a window's length of one run.
    pub stats: Stats,
    pub most_sent: u64,
    pub summary: Summary,
    pub tally: Tally,
}

/// Plays a scenario to its end: runs, crashes, resumes, and once the weather has cleared takes up
/// what was set aside.
pub fn run_scenario(scenario: &Scenario) -> ScenarioResult {
    let mut config = scenario.config();
    let mut refresh = scenario.refresh;
    let region = Arc::new(Region::new(scenario.sandbox.clone()));
    let transport = Arc::new(FaultyTransport::new(scenario, Arc::clone(&region)));
    let memory = Arc::new(InMemory::new());
    let ledger = Ledger::in_memory().unwrap();
    let mut tally = Tally::default();
    let mut last = None;
    let mut scope = Scope::Missing;
    for _ in 0..MOST_RUNS {
        let (crash, shutdown) = (CancellationToken::new(), CancellationToken::new());
        let stop =
            scenario.stops.get(usize::try_from(tally.crashes + tally.interrupts).unwrap()).copied();
        transport.start(stop.map(|(step, how)| {
            (step, how, if how == Stop::Kill { &crash } else { &shutdown }.clone())
        }));
        let output = OutputStore::over(Arc::new(CrashStore::new(
            Arc::clone(&memory),
            Arc::clone(&transport),
        )));
        let Some((summary, outcome)) =
            run_once(&config, scope, &output, &ledger, &transport, crash, shutdown)
        else {
            tally.crashes += 1;
            tally.orphans += ledger.remote_jobs().unwrap().len() as u64;
            transport.note("crash".to_owned());
            continue;
        };
        tally += &summary;
        transport.note(format!("{outcome}"));
        match outcome {
            RunOutcome::Complete if refresh => {
                refresh = false;
                tally.refreshes += 1;
                transport.change();
                scope = Scope::Missing;
                config.refresh = config.interval.width();
            }
            // an interrupt came while the last job was deleted: the next run does it
            RunOutcome::Complete if !ledger.remote_jobs().unwrap().is_empty() => {
                tally.interrupts += u64::from(stop.is_some())
            }
            RunOutcome::Complete => {
                last = Some(summary);
                break;
            }
            RunOutcome::Gaps(gaps) => {
                tally.poisoned += gaps.len() as u64;
                transport.clear();
                // what could not be replaced is no gap: it is just replaced again
                scope = if config.refresh.is_zero() { Scope::Failed } else { Scope::Missing };
            }
            RunOutcome::Interrupted => tally.interrupts += 1,
            other => panic!("seed {}: {other}", scenario.seed),
        }
        last = Some(summary);
    }
    let (rows, strays) = read(&memory, &ledger);
    tally.revoked = transport.revoked();
    let (jobs_left, most_sent);
    (jobs_left, most_sent, tally.jobs, tally.lost) =
        transport.recorder(|seen| (seen.left(), seen.most_sent, seen.submitted, seen.lost));
    ScenarioResult {
        trace: transport.trace(),
        rows,
        truth: truth(scenario, &config, &region),
        strays,
        jobs_left,
        stats: region.stats(),
        most_sent,
        summary: last.unwrap_or_else(|| panic!("seed {}: no run came to its end", scenario.seed)),
        tally,
    }
}

/// One run of the program; none if it was killed.
fn run_once(
    config: &Config,
    scope: Scope,
    output: &OutputStore,
    ledger: &Ledger,
    transport: &Arc<FaultyTransport>,
    crash: CancellationToken,
    shutdown: CancellationToken,
) -> Option<(Summary, RunOutcome)> {
    let paused = || Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    System::with_tokio_rt(paused).block_on(async {
        transport.begin();
        let host: url::Url = "http://127.0.0.1/".parse().unwrap();
        let environment = Environment {
            api: host.clone(),
            login: host,
            transport: Arc::clone(transport) as Arc<_>,
            output: output.clone(),
            ledger: ledger.clone(),
            metrics: Arc::new(Metrics::default()),
            shutdown,
            seed: transport.seed(),
        };
        let ran = async {
            let plan = run::prepare(config, scope, output, ledger).await.unwrap();
            run::backfill(config, plan, &environment).await.unwrap()
        };
        let ended = tokio::select! {
            biased;
            () = crash.cancelled() => None,
            report = ran => Some((report.summary, report.outcome)),
        };
        transport.end();
        ended
    })
}

/// The rows of every recorded file, and what is wrong with the files or appears twice.
fn read(store: &InMemory, ledger: &Ledger) -> (Rows, Vec<String>) {
    let runtime = Builder::new_current_thread().build().unwrap();
    let recorded: HashSet<String> = ledger.file_paths().unwrap();
    let (mut rows, mut strays) = (Rows::new(), Vec::new());
    let found: Vec<_> = runtime.block_on(async {
        use futures_util::TryStreamExt;
        use object_store::ObjectStore;
        store.list(None).map_ok(|object| object.location).try_collect().await.unwrap()
    });
    strays.extend(found.iter().map(ToString::to_string).filter(|path| !recorded.contains(path)));
    for path in found.iter().filter(|path| path.as_ref().ends_with(".parquet")) {
        let content =
            runtime.block_on(async { store.get(path).await.unwrap().bytes().await.unwrap() });
        for batch in ParquetRecordBatchReaderBuilder::try_new(content).unwrap().build().unwrap() {
            for (id, row) in by_id(&batch.unwrap()) {
                if rows.insert(id.clone(), row).is_some() {
                    strays.push(format!("{id} twice"));
                }
            }
        }
    }
    (rows, strays)
}

/// What the output must be.
fn truth(scenario: &Scenario, config: &Config, region: &Region) -> Rows {
    let lines: Vec<Bytes> = region
        .truth_of(
            "genesys-cloud",
            scenario.truth(),
            config.interval.from_ms()..config.interval.to_ms(),
        )
        .unwrap()
        .collect();
    let text = String::from_utf8(lines.concat()).unwrap();
    let page = format!("{{\"conversations\":[{}]}}", text.lines().collect::<Vec<_>>().join(","));
    let dataset = &config.datasets[0];
    let reply = PageParser::new(dataset.endpoint(), Vec::new()).find(page.into()).unwrap();
    let page = Decoder::new(dataset).decode(&reply, config.interval).unwrap();
    assert_eq!((page.bad.len(), page.not_owned), (0, 0));
    by_id(&page.batch).collect()
}

/// The rows of a batch, each by its id.
fn by_id(batch: &RecordBatch) -> impl Iterator<Item = (String, RecordBatch)> {
    let ids = batch.column_by_name("conversationId").unwrap().as_string::<i32>();
    (0..batch.num_rows()).map(move |row| (ids.value(row).to_owned(), batch.slice(row, 1)))
}

impl AddAssign<&Summary> for Tally {
    fn add_assign(&mut self, summary: &Summary) {
        self.splits += summary.shards_split;
        self.retries += summary.retries;
        self.throttled += summary.rate_limited;
        self.duplicates += summary.rows_duplicate;
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.crashes += other.crashes;
        self.interrupts += other.interrupts;
        self.refreshes += other.refreshes;
        self.splits += other.splits;
        self.retries += other.retries;
        self.throttled += other.throttled;
        self.revoked += other.revoked;
        self.duplicates += other.duplicates;
        self.poisoned += other.poisoned;
        self.jobs += other.jobs;
        self.lost += other.lost;
        self.orphans += other.orphans;
    }
}
