//! What a backfill costs in requests, on virtual time: by query, by job, and by what `auto`
//! chooses.
//!
//! `CASES=all cargo test --release --test it request_counts -- --nocapture` makes every request of
//! the table; else those of the largest cases are only planned, which the same test shows to be
//! equal.

use std::{
    io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use arrow::datatypes::Schema;
use cxbackfill::testing::{
    Config, Dataset, Interval, Ledger, OutputStore, Probe, RunOutcome, Scope, Summary, iso,
    remaining, run,
};
use object_store::memory::InMemory;
use serde_json::{Value, json};

use crate::common::{
    environment::{config, environment, on_virtual_time},
    own_process::is_own_process,
    stub_transport::{Stub, StubRequest, StubResponse},
};

const DAY_MS: i64 = 86_400_000;
const FIRST_DAY: i64 = 1_704_067_200_000;
const CONVERSATIONS: &str = "/api/v2/analytics/conversations/details";
/// The largest page of any endpoint.
const LARGEST_PAGE: u64 = 1_000;

/// The rows of an interval by number, if each day has so many, evenly spread.
fn rows(per_day: i64, interval: Interval) -> std::ops::Range<i64> {
    let first_from = |ms: i64| (ms * per_day + DAY_MS - 1) / DAY_MS;
    first_from(interval.from_ms())..first_from(interval.to_ms())
}

fn row(per_day: i64, number: i64) -> Value {
    let start = number * DAY_MS / per_day;
    json!({
        "conversationId": format!("{number:032x}"),
        "conversationStart": iso(start),
        "conversationEnd": iso(start + 60_000),
    })
}

/// The query and the jobs of conversations with tiny rows. A job's id says which interval it has.
fn answer(per_day: i64, request: &StubRequest) -> StubResponse {
    let path = request.url.path().strip_prefix(CONVERSATIONS).unwrap();
    let page = |rows: std::ops::Range<i64>, offset: i64, size: i64| -> Vec<Value> {
        let from = rows.start + offset;
        (from..(from + size).min(rows.end)).map(|number| row(per_day, number)).collect()
    };
    let interval = |text: &Value| text.as_str().unwrap().parse::<Interval>().unwrap();
    let reply = match (request.method.as_str(), path) {
        ("POST", "/query") => {
            let rows = rows(per_day, interval(&request.body["interval"]));
            let number = |key: &str| request.body["paging"][key].as_i64().unwrap();
            let (total, size) = (rows.end - rows.start, number("pageSize"));
            let found = page(rows, (number("pageNumber") - 1) * size, size);
            match found.is_empty() {
                true => json!({ "totalHits": total }),
                false => json!({ "totalHits": total, "conversations": found }),
            }
        }
        ("POST", "/jobs") => {
            let interval = interval(&request.body["interval"]);
            json!({ "jobId": format!("{}-{}", interval.from_ms(), interval.to_ms()) })
        }
        ("GET", "/jobs/availability") => json!({ "dataAvailabilityDate": "2030-01-01T00:00:00Z" }),
        ("DELETE", _) => json!({}),
        ("GET", path) if path.ends_with("/results") => {
            let (from, to) = path.split('/').nth(2).unwrap().split_once('-').unwrap();
            let interval = Interval::new(from.parse().unwrap(), to.parse().unwrap()).unwrap();
            let rows = rows(per_day, interval);
            let offset: i64 = request.param("cursor").map_or(0, |cursor| cursor.parse().unwrap());
            let size = i64::try_from(request.number("pageSize")).unwrap();
            let mut reply = json!({ "conversations": page(rows.clone(), offset, size) });
            if rows.start + offset + size < rows.end {
                reply["cursor"] = json!((offset + size).to_string());
            }
            reply
        }
        ("GET", _) => json!({ "state": "FULFILLED" }),
        other => panic!("{other:?}"),
    };
    (200, reply.to_string())
}

/// A backfill of so many days.
#[derive(Debug, Clone, Copy)]
struct Case {
    per_day: i64,
    days: i64,
}

impl Case {
    fn config(self, strategy: &str) -> Config {
        let to = iso(FIRST_DAY + self.days * DAY_MS);
        let config = config(&[
            format!("job.from={}", iso(FIRST_DAY)),
            format!("job.to={to}"),
            format!("fetch.strategy={strategy}"),
            "fetch.shard=auto".to_owned(),
            "budget.requests=0".to_owned(),
            "output.compression=uncompressed".to_owned(),
        ]);
        // the columns of a whole conversation would take most of the time
        let dataset = &config.datasets[0];
        let columns = ["conversationId", "conversationStart", "conversationEnd", "_extra"];
        let fields = dataset.schema.fields().iter();
        let fields: Vec<_> =
            fields.filter(|field| columns.contains(&field.name().as_str())).cloned().collect();
        let schema = Arc::new(Schema::new(fields));
        let tiny = Dataset { schema, ..Dataset::clone(dataset) };
        Config { datasets: vec![Arc::new(tiny)], ..config }
    }

    /// The rows over the largest page.
    fn floor(self) -> u64 {
        self.rows().div_ceil(LARGEST_PAGE)
    }

    fn rows(self) -> u64 {
        (self.per_day * self.days).unsigned_abs()
    }

    /// A ledger with the platform's counts of every day.
    fn probed(self) -> Ledger {
        let ledger = Ledger::in_memory().unwrap();
        for day in 0..self.days {
            let interval = Interval::day_of(FIRST_DAY + day * DAY_MS);
            let rows = self.per_day.unsigned_abs();
            ledger.record_probe("conversations", Probe { interval, rows }).unwrap();
        }
        ledger
    }

    /// The requests of a run that begins with this ledger.
    fn made(self, strategy: &str, ledger: Ledger) -> u64 {
        let summary = self.run(strategy, ledger, move |request| answer(self.per_day, request));
        let Summary { requests, rows_written, retries, .. } = summary;
        assert_eq!((rows_written, retries), (self.rows(), 0), "{self:?} by {strategy}");
        requests
    }

    /// The numbers of a run that begins with this ledger and gets these answers.
    fn run(
        self,
        strategy: &str,
        ledger: Ledger,
        answer: impl Fn(&StubRequest) -> StubResponse + Send + Sync + 'static,
    ) -> Summary {
        let config = self.config(strategy);
        let stub = Stub::new("/oauth/token", answer);
        let store = Arc::new(InMemory::new());
        let report = on_virtual_time(async {
            let environment = environment(stub, OutputStore::over(store), ledger);
            let (output, ledger) = (&environment.output, &environment.ledger);
            let plan = run::prepare(&config, Scope::Missing, output, ledger).await.unwrap();
            run::backfill(&config, plan, &environment).await.unwrap()
        });
        assert!(matches!(report.outcome, RunOutcome::Complete), "{}", report.outcome);
        report.summary
    }

    /// The requests that `plan` expects of a run that knows the platform's counts.
    fn planned(self, strategy: &str) -> u64 {
        let (config, ledger) = (self.config(strategy), self.probed());
        let plan = remaining::plan(&config, Scope::Missing, &ledger).unwrap();
        remaining::estimate_plan(&config, &plan, &ledger).unwrap()["conversations"]
            .requests
            .unwrap()
    }
}

const STRATEGIES: [&str; 3] = ["query", "job", "auto"];

#[test]
fn auto_needs_the_fewest_requests_at_every_size_and_plan_knows_them() {
    let makes_all = std::env::var("CASES").is_ok_and(|cases| cases == "all");
    println!("| a day | days | floor | by query | by job | auto | planned |");
    println!("|---|---|---|---|---|---|---|");
    for per_day in [200, 2_000, 6_000, 20_000, 200_000] {
        for days in [1, 7, 31] {
            let case = Case { per_day, days };
            let planned = STRATEGIES.map(|strategy| case.planned(strategy));
            let is_made = makes_all || case.rows() <= 50_000;
            let mut costs = planned;
            if is_made {
                // nothing is known of the rows before the run
                costs =
                    STRATEGIES.map(|strategy| case.made(strategy, Ledger::in_memory().unwrap()));
                let known = STRATEGIES.map(|strategy| case.made(strategy, case.probed()));
                for (planned, made) in planned.into_iter().zip(known) {
                    let is_near = planned.abs_diff(made) <= 2.max(made / 20);
                    assert!(is_near, "{case:?}: {planned} planned, {made} made");
                }
            }
            let [query, job, auto] = costs;
            let (floor, made) = (case.floor(), if is_made { "" } else { " (planned)" });
            println!(
                "| {per_day} | {days} | {floor} | {query} | {job} | {auto}{made} | {} |",
                planned[2]
            );
            assert!(auto <= query.min(job) + 2, "{case:?}: {costs:?}");
            if per_day >= 6_000 && days >= 7 {
                assert!(auto * 8 <= query, "{case:?}: {costs:?}");
            }
            if per_day >= 20_000 {
                assert!(auto <= (floor + 6).max(floor * 11 / 10), "{case:?}: {costs:?}");
            }
        }
    }
}

/// What the run logs, as text.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend(text);
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn logs_of_a_shard_that_was_cut_name_the_part_that_is_requested() {
    // which spans are recorded is a setting of the process
    let test = "request_counts::logs_of_a_shard_that_was_cut_name_the_part_that_is_requested";
    if !is_own_process(test) {
        return;
    }
    let case = Case { per_day: 200, days: 31 };
    let log = Log::default();
    let writer = log.clone();
    let lines = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_max_level(tracing::Level::DEBUG)
        .with_writer(move || writer.clone())
        .finish();
    let has_failed = AtomicBool::new(false);
    let summary = tracing::subscriber::with_default(lines, || {
        // the first page of the first shard, after the count
        let fails = move |request: &StubRequest| {
            request.body["paging"]["pageSize"] == 100 && !has_failed.swap(true, Ordering::Relaxed)
        };
        case.run("query", Ledger::in_memory().unwrap(), move |request| {
            if fails(request) { (500, String::new()) } else { answer(case.per_day, request) }
        })
    });
    assert_eq!(summary.retries, 1);
    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    let failed = log.lines().find(|line| line.contains("the attempt failed")).unwrap();
    let cut = "shard=2024-01-01T00:00:00.000Z/2024-01-08T00:00:00.000Z}";
    assert!(failed.contains(cut), "{failed}");
}
