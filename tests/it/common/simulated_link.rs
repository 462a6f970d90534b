//! A run over the sandbox on virtual time, in one thread: a reply takes as long as the sandbox says,
//! half of it there and half back, and nothing else goes wrong.

use std::sync::{Arc, Mutex};

use actix::System;
use arrow::{compute::concat_batches, record_batch::RecordBatch};
use bytes::Bytes;
use cxbackfill::testing::{
    Config, Decoder, Environment, HostSettings, Interval, Ledger, Load, Metrics, OutputStore,
    Overrides, PageParser, Region, RequestError, RunOutcome, Scope, Settings, Stats, Summary,
    Transport, WindowUsage, run,
};
use futures_util::{TryStreamExt, future::BoxFuture};
use http::{Request, Response};
use object_store::{ObjectStore, ObjectStoreExt, memory::InMemory};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use tokio::{
    runtime::Builder,
    time::{Duration, Instant, sleep},
};
use tokio_util::sync::CancellationToken;

/// The configuration that `set` makes of the defaults.
pub fn config(set: &[&str]) -> Config {
    let set = set.iter().map(ToString::to_string).collect();
    Config::load(&Overrides { set, ..Overrides::default() }).unwrap().remove(0)
}

/// A sandbox at the end of a link.
pub struct SimulatedLink {
    settings: Settings,
    region: Region,
    /// On this day there is more to fetch: a twin of the region that is asked the same has it.
    busy: Option<(Interval, Region)>,
    start: Mutex<Option<Instant>>,
    load: Mutex<Load>,
}

impl SimulatedLink {
    /// The sandbox that `config` describes.
    pub fn new(config: &Config) -> Self {
        let HostSettings::Sandbox(settings) = &config.hosts else {
            panic!("no sandbox: {:?}", config.hosts)
        };
        let region = Region::new(settings.clone());
        Self {
            settings: settings.clone(),
            region,
            busy: None,
            start: Mutex::default(),
            load: Mutex::default(),
        }
    }

    /// The same, with so many conversations on one day.
    pub fn with_busy(self, day: Interval, conversations: u32) -> Self {
        let twin =
            Region::new(Settings { conversations_per_day: conversations, ..self.settings.clone() });
        Self { busy: Some((day, twin)), ..self }
    }

    pub fn stats(&self) -> Stats {
        self.region.stats()
    }

    /// The windows from the second to the last but one.
    pub fn windows(&self) -> Vec<WindowUsage> {
        let windows = self.stats().windows;
        assert!(windows.len() > 4, "{windows:?}");
        windows[1..windows.len() - 1].to_vec()
    }

    async fn exchange(&self, request: Request<Bytes>) -> Response<Bytes> {
        let now = || self.start.lock().unwrap().unwrap().elapsed();
        let alone = self.region.latency(now());
        let takes = self.load.lock().unwrap().enter(&self.settings.latency, alone, now());
        sleep(takes / 2).await;
        let reply = self.reply(&request, now());
        sleep(takes / 2).await;
        self.load.lock().unwrap().leave();
        reply
    }

    fn reply(&self, request: &Request<Bytes>, now: Duration) -> Response<Bytes> {
        let reply = self.region.reply(now, request);
        let Some((day, twin)) = &self.busy else { return reply };
        let twins = twin.reply(now, request);
        let asked = serde_json::from_slice::<serde_json::Value>(request.body()).unwrap_or_default();
        let asked =
            asked["interval"].as_str().and_then(|interval| interval.parse::<Interval>().ok());
        if asked.is_some_and(|asked| asked.overlaps(*day)) { twins } else { reply }
    }
}

impl Transport for SimulatedLink {
    fn send(
        &self,
        request: Request<Bytes>,
    ) -> BoxFuture<'_, Result<Response<Bytes>, RequestError>> {
        Box::pin(async { Ok(self.exchange(request).await) })
    }
}

/// What came of a run.
pub struct QuotaResult {
    pub summary: Summary,
    store: Arc<InMemory>,
}

/// Fetches everything that `config` wants and `ledger` lacks.
pub fn run_scenario(config: &Config, link: &Arc<SimulatedLink>, ledger: Ledger) -> QuotaResult {
    let store = Arc::new(InMemory::new());
    let paused = || Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    let report = System::with_tokio_rt(paused).block_on(async {
        *link.start.lock().unwrap() = Some(Instant::now());
        let host: url::Url = "http://127.0.0.1/".parse().unwrap();
        let environment = Environment {
            api: host.clone(),
            login: host,
            transport: Arc::clone(link) as Arc<_>,
            output: OutputStore::over(Arc::clone(&store) as Arc<_>),
            ledger,
            metrics: Arc::new(Metrics::default()),
            shutdown: CancellationToken::new(),
            seed: 1,
        };
        let plan = run::prepare(config, Scope::Missing, &environment.output, &environment.ledger)
            .await
            .unwrap();
        run::backfill(config, plan, &environment).await.unwrap()
    });
    assert!(matches!(report.outcome, RunOutcome::Complete), "{}", report.outcome);
    QuotaResult { summary: report.summary, store }
}

impl QuotaResult {
    /// Holds every file against the truth, row for row and in its order: one a day.
    pub fn expect_truth(&self, config: &Config, link: &SimulatedLink) {
        let runtime = Builder::new_current_thread().build().unwrap();
        let mut files: Vec<_> = runtime
            .block_on(self.store.list(None).map_ok(|file| file.location).try_collect())
            .unwrap();
        files.sort();
        let days: Vec<_> = config.interval.split(Duration::from_secs(86_400)).collect();
        assert_eq!(files.len(), days.len(), "{files:?}");
        for (file, day) in files.iter().zip(days) {
            let content = runtime
                .block_on(async { self.store.get(file).await.unwrap().bytes().await.unwrap() });
            let reader =
                ParquetRecordBatchReaderBuilder::try_new(content).unwrap().build().unwrap();
            let batches: Vec<_> = reader.map(Result::unwrap).collect();
            let rows = concat_batches(&batches[0].schema(), &batches).unwrap();
            assert!(rows == truth(config, &link.region, day), "{file} is not the truth");
        }
    }
}

/// What the rows of an interval must be.
fn truth(config: &Config, region: &Region, interval: Interval) -> RecordBatch {
    let lines: Vec<Bytes> = region.truth(interval.from_ms()..interval.to_ms()).collect();
    let text = String::from_utf8(lines.concat()).unwrap();
    let page = format!("{{\"conversations\":[{}]}}", text.lines().collect::<Vec<_>>().join(","));
    let dataset = &config.datasets[0];
    let reply = PageParser::new(dataset.endpoint(), Vec::new()).find(page.into()).unwrap();
    Decoder::new(dataset).decode(&reply, interval).unwrap().batch
}
