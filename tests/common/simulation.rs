//! A world from a seed: what goes wrong, when, and what the output must be all the same.

use std::{
    collections::{BTreeMap, HashSet},
    ops::{AddAssign, Range},
    sync::Arc,
};

use actix::System;
use arrow::{array::AsArray, record_batch::RecordBatch};
use bytes::Bytes;
use cxbackfill::{
    config::{Config, Given},
    interval::Interval,
    ledger::Ledger,
    output::Output,
    progress::Board,
    report::{Ending, Summary},
    rows::{Decoder, Finder},
    run::{self, Scope, World},
    sandbox::{Region, Settings},
};
use object_store::{ObjectStoreExt, memory::InMemory};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use tokio::{runtime::Builder, time::Duration};
use tokio_util::sync::CancellationToken;

use super::{crash::CrashStore, weather::Weather};

/// Runs of one scenario: crashes are bounded, so it comes to an end.
const MOST_RUNS: usize = 12;

/// How a run is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// Killed.
    Kill,
    /// Told to end.
    Interrupt,
}

/// What is played.
#[derive(Debug, Clone)]
pub struct Scenario {
    pub seed: u64,
    pub actors: usize,
    pub interval: Interval,
    pub shard: Duration,
    pub page_size: u32,
    pub budget: u32,
    pub sandbox: Settings,
    /// How often something goes wrong with a request, from 0 to 1.
    pub storm: f64,
    pub commit_every: Duration,
    pub newest_first: bool,
    /// Whether everything is fetched once more after all rows have changed.
    pub refresh: bool,
    /// The steps (of requests and of commits) at which the program is stopped, run by run.
    pub stops: Vec<(u64, Stop)>,
    /// The data's time whose requests fail until the weather clears.
    pub poison: Option<i64>,
    /// Intervals wider than this are too big for the platform.
    pub widest: Option<Duration>,
}

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
}

/// Rows by their id, each a batch of one: equal in every field, or not equal.
pub type Rows = BTreeMap<String, RecordBatch>;

/// What came of it.
pub struct Played {
    pub trace: Vec<String>,
    pub rows: Rows,
    pub truth: Rows,
    /// Files that no record names, and rows that are there twice.
    pub strays: Vec<String>,
    pub summary: Summary,
    pub tally: Tally,
}

impl Scenario {
    /// Three days, nothing goes wrong.
    pub fn quiet(seed: u64) -> Self {
        let from = 1_704_067_200_000 + i64::try_from(seed % 300).unwrap() * 86_400_000;
        Self {
            seed,
            actors: 4,
            interval: Interval::new(from, from + 3 * 86_400_000).unwrap(),
            shard: Duration::from_secs(86_400),
            page_size: 100,
            budget: 0,
            sandbox: Settings { seed, requests: 0, conversations_per_day: 150, ..Settings::default() },
            storm: 0.0,
            commit_every: Duration::from_secs(300),
            newest_first: false,
            refresh: false,
            stops: Vec::new(),
            poison: None,
            widest: None,
        }
    }

    /// Everything drawn from the seed.
    pub fn from_seed(seed: u64) -> Self {
        let mut dice = fastrand::Rng::with_seed(seed);
        let quiet = Self::quiet(seed);
        let from = quiet.interval.from_ms() + dice.i64(0..86_400_000);
        let interval = Interval::new(from, from + dice.i64(3_600_000..3 * 86_400_000)).unwrap();
        let hours = |dice: &mut fastrand::Rng, range: Range<u64>| Duration::from_secs(3_600 * dice.u64(range));
        let budget = if dice.bool() { 0 } else { dice.u32(20..200) };
        Self {
            actors: dice.usize(1..9),
            interval,
            shard: hours(&mut dice, 3..60),
            page_size: dice.u32(3..40),
            budget,
            sandbox: Settings {
                requests: budget,
                per: Duration::from_secs(10),
                conversations_per_day: dice.u32(5..60),
                token_lifetime: Duration::from_millis(dice.u64(1_000..100_000)),
                max_tokens: dice.u32(1..4),
                ..quiet.sandbox.clone()
            },
            storm: *dice.choice(&[0.0, 0.02, 0.1, 0.25]).unwrap(),
            commit_every: Duration::from_millis(*dice.choice(&[1, 500, 2_000, 300_000]).unwrap()),
            newest_first: dice.bool(),
            refresh: dice.u8(..) < 60,
            stops: (0..dice.usize(0..4))
                .map(|_| (dice.u64(1..60), if dice.bool() { Stop::Kill } else { Stop::Interrupt }))
                .collect(),
            poison: (dice.u8(..) < 40).then(|| dice.i64(interval.from_ms()..interval.to_ms())),
            widest: (dice.u8(..) < 80).then(|| hours(&mut dice, 2..24)),
            ..quiet
        }
    }

    fn config(&self) -> Config {
        let (from, to) = (self.interval.to_string(), self.interval.to_string());
        let set = [
            format!("job.from={}", from.split('/').next().unwrap()),
            format!("job.to={}", to.split('/').nth(1).unwrap()),
            format!("fetch.actors={}", self.actors),
            format!("fetch.shard={}s", self.shard.as_secs()),
            format!("fetch.page_size={}", self.page_size),
            format!("budget.requests={}", self.budget),
            "budget.per=10s".to_owned(),
            "retry.attempts=12".to_owned(),
            format!("output.commit_every={}ms", self.commit_every.as_millis()),
            format!("job.order={}", if self.newest_first { "newest-first" } else { "oldest-first" }),
            // most of a small file's time would go into setting the codec up
            "output.compression=uncompressed".to_owned(),
        ];
        Config::load(&Given { set: set.to_vec(), ..Given::default() }).unwrap().remove(0)
    }
}

/// Plays a scenario to its end: runs, crashes, resumes, and once the weather has cleared takes up
/// what was set aside.
pub fn play(scenario: &Scenario) -> Played {
    let mut config = scenario.config();
    let mut refresh = scenario.refresh;
    let region = Arc::new(Region::new(scenario.sandbox.clone()));
    let weather = Arc::new(Weather::new(scenario, Arc::clone(&region)));
    let memory = Arc::new(InMemory::new());
    let ledger = Ledger::in_memory().unwrap();
    let mut tally = Tally::default();
    let mut last = None;
    let mut scope = Scope::Missing;
    for _ in 0..MOST_RUNS {
        let (crash, shutdown) = (CancellationToken::new(), CancellationToken::new());
        let stop = scenario.stops.get(usize::try_from(tally.crashes + tally.interrupts).unwrap()).copied();
        weather.start(stop.map(|(step, how)| (step, how, if how == Stop::Kill { &crash } else { &shutdown }.clone())));
        let output = Output::over(Arc::new(CrashStore::new(Arc::clone(&memory), Arc::clone(&weather))));
        let Some((summary, ending)) = run_once(&config, scope, &output, &ledger, &weather, crash, shutdown) else {
            tally.crashes += 1;
            weather.note("crash".to_owned());
            continue;
        };
        tally += &summary;
        weather.note(format!("{ending}"));
        match ending {
            Ending::Complete if refresh => {
                refresh = false;
                tally.refreshes += 1;
                weather.change();
                scope = Scope::Missing;
                config.refresh = config.interval.width();
            }
            Ending::Complete => {
                last = Some(summary);
                break;
            }
            Ending::Gaps(gaps) => {
                tally.poisoned += gaps.len() as u64;
                weather.clear();
                // what could not be replaced is no gap: it is just replaced again
                scope = if config.refresh.is_zero() { Scope::Failed } else { Scope::Missing };
            }
            Ending::Interrupted => tally.interrupts += 1,
            other => panic!("seed {}: {other}", scenario.seed),
        }
        last = Some(summary);
    }
    let (rows, strays) = read(&memory, &ledger);
    tally.revoked = weather.revoked();
    Played {
        trace: weather.trace(),
        rows,
        truth: truth(&config, &region),
        strays,
        summary: last.unwrap_or_else(|| panic!("seed {}: no run came to its end", scenario.seed)),
        tally,
    }
}

/// One run of the program; none if it was killed.
fn run_once(
    config: &Config,
    scope: Scope,
    output: &Output,
    ledger: &Ledger,
    weather: &Arc<Weather>,
    crash: CancellationToken,
    shutdown: CancellationToken,
) -> Option<(Summary, Ending)> {
    let paused = || Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    System::with_tokio_rt(paused).block_on(async {
        weather.begin();
        let host: url::Url = "http://127.0.0.1/".parse().unwrap();
        let world = World {
            api: host.clone(),
            login: host,
            transport: Arc::clone(weather) as Arc<_>,
            output: output.clone(),
            ledger: ledger.clone(),
            board: Arc::new(Board::default()),
            shutdown,
            seed: weather.seed(),
        };
        let ran = async {
            let plan = run::prepare(config, scope, output, ledger).await.unwrap();
            run::backfill(config, plan, &world).await.unwrap()
        };
        let ended = tokio::select! {
            biased;
            () = crash.cancelled() => None,
            report = ran => Some((report.summary, report.ending)),
        };
        weather.end();
        ended
    })
}

/// The rows of every recorded file, and what is wrong with the files or appears twice.
fn read(store: &InMemory, ledger: &Ledger) -> (Rows, Vec<String>) {
    let runtime = Builder::new_current_thread().build().unwrap();
    let recorded: HashSet<String> = ledger.files().unwrap();
    let (mut rows, mut strays) = (Rows::new(), Vec::new());
    let found: Vec<_> = runtime.block_on(async {
        use futures_util::TryStreamExt;
        use object_store::ObjectStore;
        store.list(None).map_ok(|object| object.location).try_collect().await.unwrap()
    });
    strays.extend(found.iter().map(ToString::to_string).filter(|path| !recorded.contains(path)));
    for path in found.iter().filter(|path| path.as_ref().ends_with(".parquet")) {
        let content = runtime.block_on(async { store.get(path).await.unwrap().bytes().await.unwrap() });
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
fn truth(config: &Config, region: &Region) -> Rows {
    let lines: Vec<Bytes> = region.truth(config.interval).collect();
    let text = String::from_utf8(lines.concat()).unwrap();
    let page = format!("{{\"conversations\":[{}]}}", text.lines().collect::<Vec<_>>().join(","));
    let dataset = &config.datasets[0];
    let reply = Finder::new(dataset.way(), Vec::new()).find(page.into()).unwrap();
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
    }
}
