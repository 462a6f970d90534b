//! The metrics of a run over a real socket, a run as `status` shows it from another process, and
//! the sums of rows that the ledger keeps, compared with the sandbox's truth.

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::Path,
    process::{Child, ChildStderr, Command, Stdio},
    thread::sleep,
    time::Duration,
};

use serde_json::Value;
use tokio::time::Instant;

use crate::common::{
    binary::{Job, SIMULATED, Sandbox, program, set},
    reader,
};

/// A run that goes on for as long as it is looked at.
struct SlowRun {
    child: Child,
    log: BufReader<ChildStderr>,
}

impl SlowRun {
    fn start(folder: &Path, arguments: &[&str]) -> Self {
        let mut command = program(folder, &[&["run"], arguments].concat());
        set(&mut command, &SIMULATED);
        // a request a second
        let settings =
            ["sandbox.conversations_per_day=300", "budget.requests=60", "fetch.shard=1d"];
        set(&mut command, &settings);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let log = BufReader::new(child.stderr.take().unwrap());
        Self { child, log }
    }

    /// The first URL that it prints.
    fn url(&mut self) -> String {
        let mut line = String::new();
        while !line.contains("http://") {
            line.clear();
            assert!(self.log.read_line(&mut line).unwrap() > 0, "it serves nothing");
        }
        line[line.find("http://").unwrap()..].trim().to_owned()
    }
}

impl Drop for SlowRun {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The status and body of what is at a path of an address.
fn get(address: &str, path: &str, headers: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address.replace("0.0.0.0", "127.0.0.1")).unwrap();
    let host = address.replace("0.0.0.0", "127.0.0.1");
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {host}\r\n{headers}\r\n").unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).unwrap();
    let (head, body) = reply.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

/// The samples of metrics by name and labels, as an independent parser reads them. `None` without a
/// suitable Python.
fn parsed(metrics: &str) -> Option<BTreeMap<String, f64>> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/metrics.py");
    let mut python = Command::new(reader::python()?);
    let mut child =
        python.arg(script).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(metrics.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{metrics}");
    Some(serde_json::from_slice(&output.stdout).unwrap())
}

#[test]
fn prometheus_reads_the_metrics_of_a_run() {
    let folder = tempfile::tempdir().unwrap();
    let mut run = SlowRun::start(folder.path(), &["--metrics", "127.0.0.1:0"]);
    let url = run.url();
    let address = url.strip_prefix("http://").unwrap().strip_suffix("/metrics").expect(&url);
    let received = r#"cxbackfill_received_rows_total{dataset="conversations"} "#;
    let start = Instant::now();
    let text = loop {
        let (status, text) = get(address, "/metrics", "");
        assert_eq!(status, 200, "{text}");
        let count = text.lines().find_map(|line| line.strip_prefix(received));
        if count.is_some_and(|count| count != "0") {
            break text;
        }
        assert!(start.elapsed() < Duration::from_secs(60), "{text}");
        sleep(Duration::from_millis(200));
    };
    assert_eq!(get(address, "/", "").0, 404);
    let Some(samples) = parsed(&text) else { return };
    let value = |key: &str| *samples.get(key).unwrap_or_else(|| panic!("{key}: {text}"));
    assert!(value(r#"cxbackfill_received_rows_total{"dataset": "conversations"}"#) > 0.0);
    let answered = r#"cxbackfill_requests_total{"dataset": "conversations", "status": "2xx"}"#;
    assert!(value(answered) > 0.0);
    assert!(value("cxbackfill_request_duration_seconds_count{}") > 0.0);
    assert_eq!(value(r#"cxbackfill_rate_limit_requests{"bucket": "api"}"#), 60.0);
    assert!(value(r#"cxbackfill_rate_limit_used_requests{"bucket": "api"}"#) > 0.0);
    assert_eq!(value("cxbackfill_token_requests_total{}"), 1.0);
    assert!(value("process_resident_memory_bytes{}") > 1e6);
    let shards = ["waiting", "fetching", "committed", "failed"].map(|state| {
        value(&format!(r#"cxbackfill_shards{{"dataset": "conversations", "state": "{state}"}}"#))
    });
    assert_eq!(shards.iter().sum::<f64>(), 10.0, "{shards:?}");
}

#[test]
fn metrics_on_any_other_address_need_a_token() {
    let folder = tempfile::tempdir().unwrap();
    let mut run = SlowRun::start(folder.path(), &["--metrics", "0.0.0.0:0"]);
    let url = run.url();
    let (address, token) =
        url.strip_prefix("http://").unwrap().split_once("/metrics?token=").expect(&url);
    assert_eq!(get(address, "/metrics", "").0, 401);
    assert_eq!(get(address, "/metrics", "Authorization: Bearer wrong\r\n").0, 401);
    assert_eq!(get(address, "/metrics", &format!("Authorization: Bearer {token}\r\n")).0, 200);
}

#[test]
fn the_metrics_have_the_token_that_is_given_and_a_quiet_run_prints_one_that_is_generated() {
    let folder = tempfile::tempdir().unwrap();
    let token = "a-token-of-my-own-0815";
    let arguments = ["--metrics", "0.0.0.0:0", "--ui-token", token];
    let url = SlowRun::start(folder.path(), &arguments).url();
    assert!(url.ends_with(&format!("/metrics?token={token}")), "{url}");
    let folder = tempfile::tempdir().unwrap();
    let url = SlowRun::start(folder.path(), &["-q", "--metrics", "0.0.0.0:0"]).url();
    assert!(url.contains("/metrics?token="), "{url}");
}

#[test]
fn a_run_that_may_not_write_to_the_output_writes_no_report_there() {
    let folder = tempfile::tempdir().unwrap();
    let _first = SlowRun::start(folder.path(), &[]);
    let (output, start) = (folder.path().join("out"), Instant::now());
    // with a ledger there would be something to report
    while !output.join("conversations").exists() {
        assert!(start.elapsed() < Duration::from_secs(60), "it writes nothing");
        sleep(Duration::from_millis(20));
    }
    let mut second = program(folder.path(), &["run"]);
    let second = set(&mut second, &SIMULATED).output().unwrap();
    assert_eq!(second.status.code(), Some(4));
    assert!(!output.join("_report.json").exists());
}

#[test]
fn status_shows_a_run_of_another_process_until_it_ends() {
    let folder = tempfile::tempdir().unwrap();
    let run = SlowRun::start(folder.path(), &[]);
    let status = |json: bool| {
        let arguments: &[&str] = if json { &["status", "--json"] } else { &["status"] };
        let mut command = program(folder.path(), arguments);
        let output = set(&mut command, &SIMULATED).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let start = Instant::now();
    let running = loop {
        let status: Value = serde_json::from_str(&status(true)).unwrap_or_default();
        if status["running"]["requests"].as_u64().is_some_and(|requests| requests > 0) {
            break status["running"].clone();
        }
        assert!(start.elapsed() < Duration::from_secs(60), "{status}");
        sleep(Duration::from_millis(200));
    };
    assert_eq!(running["pid"], run.child.id(), "{running}");
    assert_eq!(running["shards_planned"], 10, "{running}");
    assert!(running["words"].as_str().is_some_and(|words| !words.is_empty()), "{running}");
    assert!(running["started"].as_str().unwrap() <= running["at"].as_str().unwrap(), "{running}");
    let text = status(false);
    assert!(text.contains(&format!("process {} is going on since ", run.child.id())), "{text}");
    drop(run);
    assert_eq!(serde_json::from_str::<Value>(&status(true)).unwrap()["running"], Value::Null);
}

/// Rows, rows with a handle time, and milliseconds of it.
type Sum = (u64, u64, u64);

/// The sums of conversations as the platform sent them, by day and by hour of the week, each with
/// the media type of the first session that has one.
fn sums_of_truth(truth: &str) -> [BTreeMap<(String, String), Sum>; 2] {
    let mut sums = [BTreeMap::new(), BTreeMap::new()];
    for line in truth.lines() {
        let row: Value = serde_json::from_str(line).unwrap();
        let start: jiff::Timestamp = row["conversationStart"].as_str().unwrap().parse().unwrap();
        let start = jiff::tz::Offset::UTC.to_datetime(start);
        let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
        let sessions: Vec<_> = list(&row["participants"])
            .iter()
            .flat_map(|participant| list(&participant["sessions"]))
            .collect();
        let media = sessions.iter().find_map(|session| session["mediaType"].as_str());
        let handles: Vec<u64> = sessions
            .iter()
            .flat_map(|session| list(&session["metrics"]))
            .filter(|metric| metric["name"] == "tHandle")
            .filter_map(|metric| metric["value"].as_u64())
            .collect();
        let weekday = start.weekday().to_monday_zero_offset();
        let places = [start.date().to_string(), format!("{weekday} {}", start.hour())];
        for (sums, place) in sums.iter_mut().zip(places) {
            let sum: &mut Sum =
                sums.entry((place, media.unwrap_or_default().to_owned())).or_default();
            sum.0 += 1;
            sum.1 += u64::from(!handles.is_empty());
            sum.2 += handles.iter().sum::<u64>();
        }
    }
    sums
}

/// The sums in the report of an output.
fn sums_of_report(output: &Path) -> [BTreeMap<(String, String), Sum>; 2] {
    let report: Value =
        serde_json::from_slice(&fs::read(output.join("_report.json")).unwrap()).unwrap();
    let sums = &report["sums"][0];
    assert_eq!((&sums["dataset"], &sums["rows_missing"]), (&"conversations".into(), &0.into()));
    ["days", "hours"].map(|list| {
        let sum = |sum: &Value| {
            let place = match sum["date"].as_str() {
                Some(date) => date.to_owned(),
                None => format!("{} {}", sum["weekday"], sum["hour"]),
            };
            let number = |key: &str| sum[key].as_u64().unwrap();
            let handle_ms = (sum["handle_s"].as_f64().unwrap() * 1e3).round() as u64;
            let key = (place, sum["media"].as_str().unwrap().to_owned());
            (key, (number("rows"), number("rows_handled"), handle_ms))
        };
        sums[list].as_array().unwrap().iter().map(sum).collect()
    })
}

#[test]
fn the_sums_of_the_report_are_those_of_the_rows_after_a_refresh_and_a_rebuild_too() {
    let sandbox = Sandbox::start(&["sandbox.conversations_per_day=40"]);
    let job = Job::new(&sandbox);
    let (from, to) = ("2024-01-05T00:00:00Z", "2024-01-09T00:00:00Z");
    let truth = sums_of_truth(&sandbox.truth(from, to));
    assert!(truth[0].len() > 8 && truth[0].values().any(|sum| sum.1 > 0), "{truth:?}");
    let output = job.folder("");
    job.run(from, to, &[]);
    assert_eq!(sums_of_report(&output), truth, "after a run");
    job.run(from, to, &["job.refresh=2d"]);
    assert_eq!(sums_of_report(&output), truth, "after a refresh");
    let execute = |arguments: &[&str]| {
        let ended = job.command_of(arguments, from, to, &[]).output().unwrap();
        assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    };
    execute(&["verify"]);
    for suffix in ["", "-wal", "-shm"] {
        let _ = fs::remove_file(output.join(format!("_ledger.sqlite{suffix}")));
    }
    execute(&["rebuild"]);
    execute(&["report"]);
    assert_eq!(sums_of_report(&output), truth, "after a rebuild");
    execute(&["verify"]);
}
