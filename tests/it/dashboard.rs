//! The dashboard over a real socket, and the report in the output.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::Path,
    process::{Child, Output, Stdio},
    time::Duration,
};

use serde_json::Value;
use tempfile::TempDir;

use crate::common::binary::{SIMULATED, program, set, summary};

/// A program that serves a dashboard, until it is dropped.
struct Served {
    child: Child,
    url: String,
    port: u16,
    /// Kept open, so that the program can write.
    _log: BufReader<Box<dyn Read>>,
}

impl Served {
    /// Starts the program. Its URL is read from standard error for `run`, from standard output
    /// else.
    fn start(folder: &Path, arguments: &[&str], settings: &[&str]) -> Self {
        let mut command = program(folder, arguments);
        set(&mut command, &SIMULATED);
        set(&mut command, settings).env("RUST_LOG", "warn");
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let is_run = arguments.contains(&"run");
        let stream: Box<dyn Read> = match is_run {
            true => Box::new(child.stderr.take().unwrap()),
            false => Box::new(child.stdout.take().unwrap()),
        };
        let (mut log, mut line) = (BufReader::new(stream), String::new());
        while !line.contains("http://") {
            line.clear();
            assert!(log.read_line(&mut line).unwrap() > 0, "it served nothing");
        }
        let url = line[line.find("http://").unwrap()..].trim().to_owned();
        let port = url.split('/').nth(2).unwrap().rsplit(':').next().unwrap().parse().unwrap();
        Self { child, url, port, _log: log }
    }

    /// The token in its URL.
    fn token(&self) -> &str {
        self.url.split_once("?token=").expect("a token").1
    }

    fn send(&self, request: &str) -> TcpStream {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        stream
    }

    /// The status, head and body of a reply. `headers` are lines without their ends.
    fn get(&self, path: &str, host: &str, headers: &[&str]) -> (u16, String, String) {
        self.request("GET", path, host, headers)
    }

    fn request(
        &self,
        method: &str,
        path: &str,
        host: &str,
        headers: &[&str],
    ) -> (u16, String, String) {
        let headers: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
        let mut stream = self.send(&format!(
            "{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{headers}\r\n"
        ));
        let mut reply = Vec::new();
        stream.read_to_end(&mut reply).unwrap();
        let reply = String::from_utf8(reply).unwrap();
        let (head, body) = reply.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, head.to_ascii_lowercase(), body.to_owned())
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A backfill of ten small days.
fn run(folder: &Path, arguments: &[&str], settings: &[&str]) -> Output {
    let mut command = program(folder, arguments);
    set(&mut command, &SIMULATED);
    set(&mut command, &["sandbox.conversations_per_day=20", "budget.requests=0"]);
    set(&mut command, settings).output().unwrap()
}

fn fetched() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let output = run(folder.path(), &["run"], &[]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    folder
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

const LOCALHOST: &str = "localhost:1";
const ANY_PORT: [&str; 3] = ["ui", "--listen", "127.0.0.1:0"];

#[test]
fn the_page_and_its_data_are_served_on_loopback_without_a_token() {
    let folder = fetched();
    let ui = Served::start(folder.path(), &ANY_PORT, &[]);
    let (status, head, body) = ui.get("/", LOCALHOST, &[]);
    assert_eq!(status, 200);
    assert!(body.starts_with("<!doctype html>") && body.contains("\"live\":true"));
    for header in [
        "content-security-policy: default-src 'none'; script-src 'sha256-",
        "frame-ancestors 'none'",
        "x-content-type-options: nosniff",
        "cache-control: no-store",
        "referrer-policy: no-referrer",
        "cross-origin-resource-policy: same-origin",
    ] {
        assert!(head.contains(header), "{header}: {head}");
    }
    assert!(!head.contains("unsafe") && !head.contains("access-control"), "{head}");
    let (_, _, overview) = ui.get("/overview.json", LOCALHOST, &[]);
    let overview: Value = serde_json::from_str(&overview).unwrap();
    let days = overview["datasets"][0]["days"].as_array().unwrap();
    assert_eq!(days.iter().filter(|day| day["state"] == "committed").count(), 10);
    let interval = "from=2024-01-02T00:00:00Z&to=2024-01-03T00:00:00Z";
    let path = format!("/shards?dataset=conversations&{interval}");
    let (status, _, history) = ui.get(&path, LOCALHOST, &[]);
    let history: Value = serde_json::from_str(&history).unwrap();
    assert_eq!((status, &history["events"][0]["kind"]), (200, &"committed".into()), "{history}");
    for (path, expected) in [
        ("/shards?dataset=conversations&from=yesterday&to=today", 400),
        ("/overview.json?source=unknown", 404),
        ("/_ledger.sqlite", 404),
        ("/../config.toml", 404),
    ] {
        assert_eq!(ui.get(path, LOCALHOST, &[]).0, expected, "{path}");
    }
}

#[test]
fn a_request_for_a_foreign_host_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let ui = Served::start(folder.path(), &ANY_PORT, &[]);
    for host in ["evil.example", "127.0.0.1.evil.example", "192.168.0.1", ""] {
        let (status, _, body) = ui.get("/overview.json", host, &[]);
        assert_eq!(status, 421, "{host}");
        assert!(!body.contains("datasets"));
    }
    assert_eq!(ui.get("/", LOCALHOST, &["Host: evil.example"]).0, 421);
    let mut reply = String::new();
    ui.send("GET / HTTP/1.0\r\n\r\n").read_to_string(&mut reply).unwrap();
    assert!(reply.contains(" 421 "), "{reply}");
}

#[test]
fn only_get_is_answered() {
    let folder = tempfile::tempdir().unwrap();
    let ui = Served::start(folder.path(), &ANY_PORT, &[]);
    for method in ["POST", "PUT", "DELETE", "HEAD", "OPTIONS"] {
        assert_eq!(ui.request(method, "/", LOCALHOST, &[]).0, 405, "{method}");
    }
    let foreign = ["Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: cors"];
    assert_eq!(ui.get("/events", LOCALHOST, &foreign).0, 403);
}

#[test]
fn any_other_address_needs_the_token_of_the_printed_url() {
    let folder = tempfile::tempdir().unwrap();
    let ui = Served::start(folder.path(), &["ui", "--listen", "0.0.0.0:0"], &[]);
    let host = format!("127.0.0.1:{}", ui.port);
    let token = ui.token().to_owned();
    assert_eq!(token.len(), 43);
    assert_eq!(ui.get("/", &host, &[]).0, 401);
    let mut wrong = token.clone();
    wrong.replace_range(42.., if token.ends_with('A') { "B" } else { "A" });
    assert_eq!(ui.get(&format!("/?token={wrong}"), &host, &[]).0, 401);
    let (status, head, _) = ui.get(&format!("/?token={token}"), &host, &[]);
    assert!(status == 303 && head.contains("\r\nlocation: /\r\n"), "{head}");
    assert!(head.contains("; httponly; samesite=lax"), "{head}");
    let cookie = format!("Cookie: cxbackfill-{}={token}", ui.port);
    assert_eq!(ui.get("/overview.json", &host, &[&cookie]).0, 200);
    let bearer = format!("Authorization: Bearer {token}");
    assert_eq!(ui.get("/overview.json", &host, &[&bearer]).0, 200);
}

#[test]
fn an_address_or_token_that_cannot_be_used_ends_a_run_before_it_begins() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let folder = tempfile::tempdir().unwrap();
    for (arguments, reason) in [
        (vec!["run", "--ui", &taken], "cannot be listened on"),
        (vec!["ui", "--listen", &taken], "cannot be listened on"),
        (vec!["run", "--ui", "127.0.0.1:0", "--ui-token", "short"], "at least 16 characters"),
        (vec!["run", "--ui", "example.com"], "such as 127.0.0.1:8787"),
    ] {
        let output = run(folder.path(), &arguments, &[]);
        let said = String::from_utf8_lossy(&output.stderr);
        let listens = taken.contains(':');
        assert!(listens && output.status.code() == Some(2) && said.contains(reason), "{said}");
    }
    assert!(!folder.path().join("out").exists());
}

/// The events of a stream until it ends, each with its name and its data.
fn events(stream: TcpStream) -> Vec<(String, Value)> {
    let (mut events, mut name) = (Vec::new(), String::new());
    for line in BufReader::new(stream).lines() {
        // a line of data may be in several chunks, whose lengths are lines of their own
        let line = line.unwrap();
        if let Some(event) = line.strip_prefix("event: ") {
            name = event.to_owned();
        } else if let Some(data) = line.strip_prefix("data: ") {
            events.push((name.clone(), serde_json::from_str(data).unwrap()));
        }
    }
    events
}

#[test]
fn a_run_sends_its_overview_then_what_changed_then_how_it_ended() {
    let folder = tempfile::tempdir().unwrap();
    let latency = "sandbox.latency={ base = \"400ms\", jitter = \"0s\", capacity = 0, steps = [] }";
    let settings = [latency, "sandbox.conversations_per_day=20", "fetch.strategy=query"];
    let arguments = ["run", "--ui", "127.0.0.1:0", "--summary", "json"];
    let run = Served::start(folder.path(), &arguments, &settings);
    let stream = run.send(
        "GET /events HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAccept: text/event-stream\r\n\r\n",
    );
    let events = events(stream);
    let names: Vec<_> = events.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!((names[0], names.last()), ("overview", Some(&"end")), "{names:?}");
    assert!(names[1..names.len() - 1].iter().all(|name| *name == "change"), "{names:?}");
    let ended = events.iter().rev().find(|(_, data)| !data["state"]["running"].is_null()).unwrap();
    assert_eq!(ended.1["state"]["running"], false, "{}", ended.1);
    let whole = &events[0].1;
    let first = &events[1].1;
    assert!(first.to_string().len() < whole.to_string().len() / 2, "{first}");
    assert!(names.len() < 30, "at most one a second: {}", names.len());
}

#[test]
fn pages_that_are_open_are_bounded() {
    let folder = fetched();
    let ui = Served::start(folder.path(), &ANY_PORT, &[]);
    let request = "GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let open: Vec<_> = (0..16)
        .map(|_| {
            let mut stream = ui.send(request);
            let mut begin = [0; 64];
            stream.read_exact(&mut begin).unwrap();
            assert!(begin.starts_with(b"HTTP/1.1 200"));
            stream
        })
        .collect();
    // a stream of events has no end, so only its beginning is read
    let status = || {
        let mut reply = [0; 12];
        ui.send(request).read_exact(&mut reply).unwrap();
        String::from_utf8_lossy(&reply).into_owned()
    };
    assert_eq!(status(), "HTTP/1.1 503");
    assert_eq!(ui.get("/", LOCALHOST, &[]).0, 200);
    drop(open);
    let free = |_| {
        std::thread::sleep(Duration::from_millis(200));
        status() == "HTTP/1.1 200"
    };
    assert!((0..100).any(free), "a page that is closed makes room");
}

#[test]
fn looking_at_an_output_does_not_keep_a_run_from_it() {
    let folder = fetched();
    let ui = Served::start(folder.path(), &ANY_PORT, &[]);
    let _streams: Vec<_> =
        (0..4).map(|_| ui.send("GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")).collect();
    for _ in 0..5 {
        let output = run(folder.path(), &["run", "--refresh", "1d"], &[]);
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn every_run_leaves_a_report_that_the_other_commands_know() {
    let folder = fetched();
    let out = folder.path().join("out");
    let report = json(&out.join("_report.json"));
    assert_eq!((&report["version"], &report["state"]["running"]), (&1.into(), &false.into()));
    assert_eq!(report["runs"].as_array().unwrap().len(), 1);
    let html = fs::read_to_string(out.join("_report.html")).unwrap();
    let data = html.split("id=\"page\">").nth(1).unwrap().split("</script>").next().unwrap();
    let data: Value = serde_json::from_str(data).unwrap();
    assert_eq!(data["overview"]["totals"], report["totals"]);
    for command in ["verify", "check"] {
        let output = run(folder.path(), &[command], &[]);
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && !said.contains("_report"), "{command}: {said}");
    }
    let failed = ["fetch.strategy=query", "sandbox.fail_every=1", "retry.attempts=1"];
    let failed = [&failed[..], &["job.to=2024-01-14T00:00:00Z", "retry.outage=0s"]].concat();
    assert_ne!(run(folder.path(), &["run"], &failed).status.code(), Some(0));
    let report = json(&out.join("_report.json"));
    let runs = report["runs"].as_array().unwrap();
    assert!(runs.len() == 2 && runs[0]["outcome"] != "complete", "{runs:?}");
    fs::remove_file(out.join("_report.html")).unwrap();
    fs::write(out.join("_report.html#7"), "what a killed program left").unwrap();
    let again = run(folder.path(), &["report"], &[]);
    assert!(String::from_utf8_lossy(&again.stdout).contains("_report.html"));
    assert!(out.join("_report.html").exists() && !out.join("_report.html#7").exists());
    let rebuilt = run(folder.path(), &["rebuild"], &[]);
    let said = String::from_utf8_lossy(&rebuilt.stdout);
    assert!(!said.contains("_report") && out.join("_report.html").exists(), "{said}");
}

#[test]
fn a_report_that_cannot_be_written_is_a_warning() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir_all(folder.path().join("out/_report.json")).unwrap();
    let output = run(folder.path(), &["run", "--summary", "json"], &[]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(
        (output.status.code(), summary(&output)["outcome"].as_str()),
        (Some(0), Some("complete"))
    );
    assert!(said.contains("the report could not be written"), "{said}");
    let output = run(tempfile::tempdir().unwrap().path(), &["report"], &[]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(4) && said.contains("there is no ledger"), "{said}");
}
