//! From bytes to files: each stage by itself, and the whole pipeline in this process.
//!
//! Throughput counts the JSON that the platform sends, so the figures can be compared: the stage
//! with the smallest is what a run on an unlimited quota waits for.

use std::{
    hint::black_box,
    io::{Seek, SeekFrom},
    sync::Arc,
    time::Duration,
};

use actix::System;
use arrow::{
    datatypes::{DataType, Field, FieldRef, Schema},
    json::ReaderBuilder,
};
use bytes::Bytes;
use criterion::{
    Criterion, SamplingMode, Throughput, criterion_group, criterion_main,
    measurement::{Measurement, ValueFormatter, WallTime},
};
use cxbackfill::testing::{
    Config, Dataset, Decoder, Environment, FileSchemas, Interval, Layout, Ledger, Metrics,
    OutputStore, Overrides, Page, PageParser, ParquetSettings, Profile, Region, RequestError,
    RunOutcome, Scope, Settings, Shard, ShardWriter, Transport, catalog, run, table_rows,
};
use futures_util::future::BoxFuture;
use http::{Request, Response};
use nix::sys::{
    resource::{UsageWho, getrusage},
    time::TimeVal,
};
use object_store::memory::InMemory;
use parquet::basic::{Compression, ZstdLevel};
use tokio::{runtime::Builder, time::Instant};
use tokio_util::sync::CancellationToken;

/// Rows of a page, as the platform limits it.
const PAGE: usize = 100;
/// Conversations of the day whose pages are measured.
const A_DAY: u32 = 2_000;

fn dataset() -> Arc<Dataset> {
    Arc::clone(&catalog::builtin("genesys-cloud").expect("a platform").datasets["conversations"])
}

fn day() -> Interval {
    "2024-03-18T00:00:00Z/2024-03-19T00:00:00Z".parse().expect("an interval")
}

/// A day's pages, as the platform sends them.
fn pages() -> Vec<Bytes> {
    pages_of(Settings::default())
}

fn pages_of(settings: Settings) -> Vec<Bytes> {
    let region = Region::new(Settings { conversations_per_day: A_DAY, ..settings });
    let truth = region
        .truth(day().from_ms()..day().to_ms())
        .fold(Vec::new(), |all, piece| [all, piece.to_vec()].concat());
    let rows: Vec<_> = truth.split(|&byte| byte == b'\n').filter(|row| !row.is_empty()).collect();
    let page = |rows: &[&[u8]]| {
        [br#"{"conversations":["#, rows.join(&b',').as_slice(), br#"],"totalHits":2000}"#]
            .concat()
            .into()
    };
    rows.chunks(PAGE).map(page).collect()
}

fn decoded(pages: &[Bytes]) -> Vec<Page> {
    let (finder, decoder) =
        (PageParser::new(dataset().endpoint(), Vec::new()), Decoder::new(&dataset()));
    pages.iter().map(|page| page_of(&finder, &decoder, page)).collect()
}

fn page_of(finder: &PageParser, decoder: &Decoder, page: &Bytes) -> Page {
    let reply = finder.find(page.clone()).expect("a reply");
    decoder.decode(&reply, day()).expect("a page")
}

/// One page, on one core.
fn decode(c: &mut Criterion<CpuTime>) {
    let (pages, finder, decoder) =
        (pages(), PageParser::new(dataset().endpoint(), Vec::new()), Decoder::new(&dataset()));
    let mut group = c.benchmark_group("pipeline");
    group.throughput(Throughput::Bytes(size(&pages) / pages.len() as u64));
    let mut turn = pages.iter().cycle();
    group.bench_function("page to record batch", |bencher| {
        bencher.iter(|| page_of(&finder, &decoder, black_box(turn.next().expect("a page"))));
    });
    group.finish();
}

/// Decodes pages without new fields with a decoder that keeps new fields and with one that drops
/// them: keeping them must cost nothing where there are none.
fn decode_with_new_fields(c: &mut Criterion<CpuTime>) {
    let (pages, finder) = (pages(), PageParser::new(dataset().endpoint(), Vec::new()));
    let keeping = Decoder::new(&dataset());
    let dropping = keeping.clone().dropping_new_fields();
    let field = |page: &Bytes| {
        let text = str::from_utf8(page).expect("text");
        text.replace(r#"{"conversationEnd":"#, r#"{"newField":1,"conversationEnd":"#).into()
    };
    let drifted: Vec<Bytes> = pages.iter().map(field).collect();
    let mut group = c.benchmark_group("pipeline");
    for (name, decoder, pages) in [
        ("no new field, dropping them", &dropping, &pages),
        ("no new field, keeping them", &keeping, &pages),
        ("a new field in each row, keeping them", &keeping, &drifted),
    ] {
        group.throughput(Throughput::Bytes(size(pages) / pages.len() as u64));
        let mut turn = pages.iter().cycle();
        group.bench_function(name, |bencher| {
            bencher.iter(|| page_of(&finder, decoder, black_box(turn.next().expect("a page"))));
        });
    }
    group.finish();
}

/// The same page by the usual decoder, for comparison: it finds the rows in the same way, and gives
/// neither keys nor owners.
fn decode_with_arrow_json(c: &mut Criterion<CpuTime>) {
    let (pages, finder) = (pages(), PageParser::new(dataset().endpoint(), Vec::new()));
    let fields = dataset().schema.fields().iter().map(without_zone).collect::<Vec<_>>();
    let schema = Arc::new(Schema::new(fields));
    let mut group = c.benchmark_group("pipeline");
    group.throughput(Throughput::Bytes(size(&pages) / pages.len() as u64));
    let mut turn = pages.iter().cycle();
    group.bench_function("page to record batch by arrow-json", |bencher| {
        bencher.iter(|| {
            let page = black_box(turn.next().expect("a page"));
            let reply = finder.find(page.clone()).expect("a reply");
            let reader = ReaderBuilder::new(schema.clone()).with_batch_size(PAGE);
            let mut reader = reader.with_coerce_primitive(true).build_decoder().expect("a reader");
            for row in reply.rows() {
                reader.decode(row.as_bytes()).expect("a row");
            }
            reader.flush().expect("a batch")
        });
    });
    group.finish();
}

/// A column without its time zone, which `arrow-json` needs a database for.
fn without_zone(field: &FieldRef) -> FieldRef {
    let data_type = match field.data_type() {
        DataType::Timestamp(unit, _) => DataType::Timestamp(*unit, None),
        DataType::List(element) => DataType::List(without_zone(element)),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(without_zone).collect()),
        other => other.clone(),
    };
    Arc::new(Field::clone(field).with_data_type(data_type))
}

/// A day's batches into a file that has no name yet, on one core: usual ones, and conversations
/// whose sizes and values are spread unevenly.
fn write(c: &mut Criterion<CpuTime>) {
    let skewed = Settings { skew: true, ..Settings::default() };
    for (data, settings) in [("usual", Settings::default()), ("skewed", skewed)] {
        write_pages(c, data, &pages_of(settings));
    }
}

fn write_pages(c: &mut Criterion<CpuTime>, data: &str, bytes: &[Bytes]) {
    let decoded = decoded(bytes);
    let output = OutputStore::over(Arc::new(InMemory::new()));
    let mut group = c.benchmark_group("pipeline");
    group.throughput(Throughput::Bytes(size(bytes)));
    for (name, profile, layout) in [
        ("fast", Profile::Fast, Layout::Nested),
        ("small", Profile::Small, Layout::Nested),
        ("tables", Profile::Fast, Layout::Tables),
        ("both", Profile::Fast, Layout::Both),
    ] {
        let format = Arc::new(ParquetSettings {
            compression: zstd(),
            profile,
            layout,
            row_group_rows: 20_000,
            job: "{}".to_owned(),
            schemas: FileSchemas::default(),
        });
        let write = || {
            let shard = Shard::new(dataset(), day(), false);
            let mut writer = ShardWriter::new(shard, output.clone(), Arc::clone(&format));
            for page in &decoded {
                writer.write(page).expect("it fits");
            }
            writer.finish(day(), "bench", &[]).expect("it fits")
        };
        let size = write()[0].files[0].content.seek(SeekFrom::End(0)).expect("a size");
        println!("{data}, {name}: {} bytes a row", size / u64::from(A_DAY));
        group.bench_function(format!("{data} record batches to Parquet, {name}"), |bencher| {
            bencher.iter(write);
        });
    }
    group.finish();
}

/// A day's batches as the rows of flat tables, on one core: all tables of the dataset, and the one
/// with the most computed columns.
fn tables(c: &mut Criterion<CpuTime>) {
    let (bytes, dataset) = (pages(), dataset());
    let decoded = decoded(&bytes);
    let mut group = c.benchmark_group("pipeline");
    group.throughput(Throughput::Elements(u64::from(A_DAY)));
    for (name, tables) in [("all", &dataset.tables[..]), ("conversations", &dataset.tables[..1])] {
        group.bench_function(format!("record batches to tables, {name}"), |bencher| {
            bencher.iter(|| {
                for page in &decoded {
                    for table in tables {
                        black_box(table_rows(table, &page.batch).expect("its columns"));
                    }
                }
            });
        });
    }
    group.finish();
}

/// Everything from the plan to the ledger, on as many cores as there are, but for sockets and
/// disks: the API is a function call, the store and the ledger are in memory.
fn backfill(c: &mut Criterion) {
    let set = ["job.to=2024-01-09T00:00:00Z", "budget.requests=0", "fetch.strategy=query"]
        .map(str::to_owned)
        .into();
    let config = Config::load(&Overrides { set, ..Overrides::default() })
        .expect("a configuration")
        .remove(0);
    let runtime = || Builder::new_multi_thread().enable_all().build().expect("threads");
    let system = System::with_tokio_rt(runtime);
    let local = Arc::new(Local::new());
    let bytes = system.block_on(once(&config, &local));
    let mut group = c.benchmark_group("pipeline");
    group.throughput(Throughput::Bytes(bytes)).sampling_mode(SamplingMode::Flat).sample_size(10);
    group.bench_function("whole, in this process", |bencher| {
        bencher.iter(|| assert_eq!(system.block_on(once(&config, &local)), bytes));
    });
    group.finish();
}

/// One run of a backfill into an output of its own; the bytes that it received.
async fn once(config: &Config, local: &Arc<Local>) -> u64 {
    let host: url::Url = "http://127.0.0.1/".parse().expect("an address");
    let environment = Environment {
        api: host.clone(),
        login: host,
        transport: Arc::clone(local) as Arc<_>,
        output: OutputStore::over(Arc::new(InMemory::new())),
        ledger: Ledger::in_memory().expect("a ledger"),
        metrics: Arc::new(Metrics::default()),
        shutdown: CancellationToken::new(),
        seed: 1,
    };
    let plan = run::prepare(config, Scope::Missing, &environment.output, &environment.ledger)
        .await
        .expect("a plan");
    let report = run::backfill(config, plan, &environment).await.expect("a report");
    assert!(matches!(report.outcome, RunOutcome::Complete), "{}", report.outcome);
    report.summary.bytes_received
}

/// The API in this process: it costs what its pages cost to make, and nothing else.
struct Local {
    region: Region,
    started: Instant,
}

impl Local {
    fn new() -> Self {
        let settings =
            Settings { requests: 0, conversations_per_day: A_DAY, ..Settings::default() };
        Self { region: Region::new(settings), started: Instant::now() }
    }
}

impl Transport for Local {
    fn send(
        &self,
        request: Request<Bytes>,
    ) -> BoxFuture<'_, Result<Response<Bytes>, RequestError>> {
        Box::pin(async move { Ok(self.region.reply(self.started.elapsed(), &request)) })
    }
}

fn zstd() -> Compression {
    Compression::ZSTD(ZstdLevel::try_new(1).expect("a level"))
}

fn size(pages: &[Bytes]) -> u64 {
    pages.iter().map(|page| page.len() as u64).sum()
}

/// The CPU time of this process: what else the machine does counts little.
struct CpuTime;

impl Measurement for CpuTime {
    type Intermediate = Duration;
    type Value = Duration;

    fn start(&self) -> Duration {
        let usage = getrusage(UsageWho::RUSAGE_SELF).expect("the usage of this process");
        let seconds =
            |time: TimeVal| Duration::new(time.tv_sec() as u64, time.tv_usec() as u32 * 1_000);
        seconds(usage.user_time()) + seconds(usage.system_time())
    }

    fn end(&self, start: Duration) -> Duration {
        self.start() - start
    }

    fn add(&self, one: &Duration, other: &Duration) -> Duration {
        *one + *other
    }

    fn zero(&self) -> Duration {
        Duration::ZERO
    }

    fn to_f64(&self, value: &Duration) -> f64 {
        WallTime.to_f64(value)
    }

    fn formatter(&self) -> &dyn ValueFormatter {
        WallTime.formatter()
    }
}

criterion_group! {
    name = stages;
    config = Criterion::default().with_measurement(CpuTime);
    targets = decode, decode_with_arrow_json, decode_with_new_fields, tables, write
}
criterion_group!(whole, backfill);
criterion_main!(stages, whole);
