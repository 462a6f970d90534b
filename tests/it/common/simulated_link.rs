//! Runs against the sandbox on virtual time, in one thread: a reply takes the latency of the
//! sandbox, half of it before and half after it is computed. Nothing fails.

use std::sync::{Arc, Mutex};

use arrow::{compute::concat_batches, record_batch::RecordBatch};
use bytes::Bytes;
use cxbackfill::testing::{
    Config, Decoder, HostSettings, Interval, Ledger, Load, OutputStore, PageParser, Region,
    RequestError, RunOutcome, Scope, Settings, Stats, Summary, Transport, WindowUsage, run,
};
use futures_util::{TryStreamExt, future::BoxFuture};
use http::{Request, Response};
use object_store::{ObjectStore, ObjectStoreExt, memory::InMemory};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use tokio::{
    runtime::Builder,
    time::{Duration, Instant, sleep},
};

use super::environment::{environment, on_virtual_time};

/// A sandbox behind a network link.
pub struct SimulatedLink {
    settings: Settings,
    region: Region,
    /// A day with more conversations, and the region that has them.
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

    /// The same with another number of conversations on one day.
    pub fn with_busy(self, day: Interval, conversations: u32) -> Self {
        let busy =
            Region::new(Settings { conversations_per_day: conversations, ..self.settings.clone() });
        Self { busy: Some((day, busy)), ..self }
    }

    pub fn stats(&self) -> Stats {
        self.region.stats()
    }

    /// The windows without the first and the last.
    pub fn windows(&self) -> Vec<WindowUsage> {
        let windows = self.stats().windows;
        assert!(windows.len() > 4, "{windows:?}");
        windows[1..windows.len() - 1].to_vec()
    }

    async fn exchange(&self, request: Request<Bytes>) -> Response<Bytes> {
        let now = || self.start.lock().unwrap().unwrap().elapsed();
        let unloaded = self.region.latency(now());
        let latency = self.load.lock().unwrap().enter(&self.settings.latency, unloaded, now());
        sleep(latency / 2).await;
        let reply = self.reply(&request, now());
        sleep(latency / 2).await;
        self.load.lock().unwrap().leave();
        reply
    }

    fn reply(&self, request: &Request<Bytes>, now: Duration) -> Response<Bytes> {
        let reply = self.region.reply(now, request);
        let Some((day, region)) = &self.busy else { return reply };
        let busy_reply = region.reply(now, request);
        let body = serde_json::from_slice::<serde_json::Value>(request.body()).unwrap_or_default();
        let interval: Option<Interval> =
            body["interval"].as_str().and_then(|interval| interval.parse().ok());
        if interval.is_some_and(|interval| interval.overlaps(*day)) { busy_reply } else { reply }
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

/// The result of a run.
pub struct QuotaResult {
    pub summary: Summary,
    store: Arc<InMemory>,
}

/// Fetches everything in the job of `config` that is missing in `ledger`.
pub fn run_scenario(config: &Config, link: &Arc<SimulatedLink>, ledger: Ledger) -> QuotaResult {
    let store = Arc::new(InMemory::new());
    let report = on_virtual_time(async {
        *link.start.lock().unwrap() = Some(Instant::now());
        let environment = environment(
            Arc::clone(link) as Arc<_>,
            OutputStore::over(Arc::clone(&store) as Arc<_>),
            ledger,
        );
        let plan = run::prepare(config, Scope::Missing, &environment.output, &environment.ledger)
            .await
            .unwrap();
        run::backfill(config, plan, &environment).await.unwrap()
    });
    assert!(matches!(report.outcome, RunOutcome::Complete), "{}", report.outcome);
    QuotaResult { summary: report.summary, store }
}

impl QuotaResult {
    /// Checks that there is one file a day, whose rows equal the truth in its order.
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

/// The rows that an interval must have.
fn truth(config: &Config, region: &Region, interval: Interval) -> RecordBatch {
    let lines: Vec<Bytes> = region.truth(interval.from_ms()..interval.to_ms()).collect();
    let text = String::from_utf8(lines.concat()).unwrap();
    let page = format!("{{\"conversations\":[{}]}}", text.lines().collect::<Vec<_>>().join(","));
    let dataset = &config.datasets[0];
    let reply = PageParser::new(dataset.endpoint(), Vec::new()).find(page.into()).unwrap();
    Decoder::new(dataset).decode(&reply, interval).unwrap().batch
}
