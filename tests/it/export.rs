//! `export`: committed rows in other formats, read by programs that are not ours.

use std::{
    collections::BTreeSet,
    fs,
    io::Read,
    path::Path,
    process::{Child, Command, Output, Stdio},
    thread,
    time::Duration,
};

use serde_json::Value;
use tempfile::TempDir;

use crate::common::{
    binary::{Job, Sandbox, program, set},
    reader::python,
};

const FROM: &str = "2024-01-01T00:00:00Z";
const TO: &str = "2024-01-03T00:00:00Z";
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/export.py");

/// The dataset `calls` of `export.py`.
const CATALOG: &str = "[dataset.calls]\nversion = 1\nid = 'id'\ntime = 'at'\ncolumns = 'call'\n\
    [dataset.calls.query]\npath = '/calls'\nrows = '/calls'\npaging = 'none'\n\
    query = { from = '{from:ms}', to = '{to:ms}' }\n\
    [type.call]\nid = 'string'\nat = 'timestamp'\ntext = 'string'\nseconds = 'int64'\n\
    score = 'double'\nlegs = 'list<leg>'\n[type.leg]\nani = 'string'\nat = 'timestamp'\n";
const CONFIG: &str = "[job]\nfrom = '2024-01-01'\nto = '2024-01-02'\ndatasets = ['calls']\n\
    [source]\nplatform = 'custom'\ncatalog = 'calls.toml'\napi_url = 'http://127.0.0.1:1'\n\
    login_url = 'http://127.0.0.1:1'\n[auth]\nclient_id = 'c'\nclient_secret = 's'\n";

/// Columns of conversations of every kind.
const PATHS: &str = "conversationId,conversationStart,conversationEnd,originatingDirection,\
    participants[0].sessions[0].mediaType,participants[0].sessions[0].ani,\
    participants[1].sessions[0].segments[0].segmentStart,participants[0].sessions[0].metrics,\
    participants[1],participants[0].sessions[0].metrics[0].value,participants[9].purpose,divisionIds";

fn said(output: &Output) -> String {
    [&output.stdout[..], &output.stderr].map(String::from_utf8_lossy).concat()
}

fn succeed(command: &mut Command) -> Output {
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    output
}

/// Compares the exports in a folder with the truth.
#[track_caller]
fn expect_equal(python: &Path, compare: &str, folder: &Path, truth: &str) {
    fs::write(folder.join("truth"), truth).unwrap();
    let (truth, arguments) = (folder.join("truth"), [SCRIPT, compare]);
    let output = succeed(Command::new(python).args(arguments).arg(truth).arg(folder));
    assert_eq!(String::from_utf8_lossy(&output.stdout), "equal\n", "{}", said(&output));
}

/// An output of so many calls, with a ledger.
pub fn calls(python: &Path, rows: &str) -> TempDir {
    let folder = TempDir::new().unwrap();
    succeed(Command::new(python).args([SCRIPT, "write"]).arg(folder.path()).arg(rows));
    fs::write(folder.path().join("calls.toml"), CATALOG).unwrap();
    fs::write(folder.path().join("config.toml"), CONFIG).unwrap();
    succeed(&mut program(folder.path(), &["rebuild"]));
    folder
}

#[test]
fn other_programs_read_every_value_of_exported_conversations_in_every_layout() {
    let sandbox = Sandbox::start(&["sandbox.conversations_per_day=120"]);
    let mut exports: Vec<TempDir> = Vec::new();
    for layout in ["nested", "both", "tables"] {
        let layout = format!("output.layout={layout}");
        let job = Job::new(&sandbox);
        job.run(FROM, TO, &[&layout]);
        let folder = TempDir::new().unwrap();
        for (format, columns) in [("parquet", ""), ("ndjson", ""), ("csv", PATHS)] {
            let name = format!("rows.{format}");
            let file = folder.path().join(&name);
            let mut arguments = vec!["export", "--format", format];
            if !columns.is_empty() {
                arguments.extend(["--columns", columns]);
            }
            let to_file = [&arguments[..], &["--output", file.to_str().unwrap()]].concat();
            let output = succeed(&mut job.command_of(&to_file, FROM, TO, &[&layout]));
            assert_eq!(said(&output), "", "nothing is missing");
            let piped = succeed(&mut job.command_of(&arguments, FROM, TO, &[&layout]));
            let rows = fs::read(&file).unwrap();
            assert!(piped.stdout == rows, "the same on standard output");
            if layout == "output.layout=both" {
                let nested = fs::read(exports[0].path().join(&name)).unwrap();
                assert!(rows == nested, "{name}");
            }
        }
        exports.push(folder);
    }
    let Some(python) = python() else { return };
    let truth = sandbox.truth(FROM, TO);
    for (folder, compare) in exports.iter().zip(["compare", "compare", "compare-tables"]) {
        expect_equal(python, compare, folder.path(), &truth);
    }
}

#[test]
fn a_table_is_exported_with_its_columns_its_interval_and_the_rows_that_meet_a_condition() {
    let sandbox = Sandbox::start(&["sandbox.conversations_per_day=60"]);
    let job = Job::new(&sandbox);
    let tables = ["output.layout=tables"];
    job.run(FROM, TO, &tables);
    let export = |more: &[&str]| {
        let arguments = [&["export", "--format", "csv", "--table", "segments"], more].concat();
        job.command_of(&arguments, FROM, TO, &tables).output().unwrap()
    };
    let columns = "conversationId,participantNumber,sessionNumber,segmentNumber,segmentType";
    // what plain JSON says: one row for each segment of each session of each participant
    let expected = |is_wanted: &dyn Fn(&Value, &Value) -> bool| -> BTreeSet<String> {
        let mut rows = BTreeSet::new();
        for line in sandbox.truth(FROM, TO).lines() {
            let row: Value = serde_json::from_str(line).unwrap();
            let list = |of: &Value, name: &str| of[name].as_array().cloned().unwrap_or_default();
            for (p, participant) in (1..).zip(list(&row, "participants")) {
                for (s, session) in (1..).zip(list(&participant, "sessions")) {
                    for (n, segment) in (1..).zip(list(&session, "segments")) {
                        if is_wanted(&row, &segment) {
                            let id = row["conversationId"].as_str().unwrap();
                            let kind = segment["segmentType"].as_str().unwrap_or_default();
                            rows.insert(format!("{id},{p},{s},{n},{kind}"));
                        }
                    }
                }
            }
        }
        rows
    };
    let starts = |row: &Value| row["conversationStart"].as_str().unwrap().to_owned();
    let is_talk = |_: &Value, segment: &Value| segment["segmentType"] == "interact";
    for (more, rows) in [
        (&[][..], expected(&|_, _| true)),
        (&["--where", "segmentType = 'interact'"], expected(&is_talk)),
        (
            &["--from", "2024-01-01T12:00:00Z", "--to", "2024-01-02"],
            expected(&|row, _| ("2024-01-01T12".."2024-01-02").contains(&&starts(row)[..])),
        ),
    ] {
        let output = export(&[&["--columns", columns], more].concat());
        assert_eq!(output.status.code(), Some(0), "{}", said(&output));
        let text = String::from_utf8(output.stdout).unwrap();
        let mut lines = text.lines();
        assert_eq!(lines.next(), Some(columns));
        let found: Vec<_> = lines.map(str::to_owned).collect();
        assert!(found.len() > 20, "{more:?}: {} rows", found.len());
        assert_eq!(found.len(), rows.len(), "{more:?}");
        assert_eq!(BTreeSet::from_iter(found), rows, "{more:?}");
    }
    for (more, expected) in [
        (&["--columns", "segmentTypes"][..], "there is no column `segmentTypes`: the nearest are "),
        (&["--where", "segmentTyp = 'x'"], "there is no column `segmentTyp`: the nearest are "),
        (&["--table", "segment"], "cannot be used multiple times"),
    ] {
        let output = export(more);
        assert_eq!(output.status.code(), Some(2));
        assert!(said(&output).contains(expected), "{}", said(&output));
    }
    let of = |table: &str, layout: &str| {
        let arguments = ["export", "--format", "csv", "--table", table];
        let output = job.command_of(&arguments, FROM, TO, &[layout]).output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        said(&output)
    };
    let unknown = of("segment", tables[0]);
    let expected = "conversations has no table `segment`: it has conversations, participants";
    assert!(unknown.contains(expected) && unknown.contains(" segments, "), "{unknown}");
    succeed(&mut job.command_of(&["upgrade"], FROM, TO, &[]));
    let nested = of("segments", "output.layout=nested");
    assert!(nested.contains("the output has no tables, since its output.layout is nested"));
}

#[test]
fn other_programs_read_every_value_of_hostile_texts() {
    let Some(python) = python() else { return };
    let folder = calls(python, "500");
    for format in ["parquet", "ndjson", "csv"] {
        let file = format!("rows.{format}");
        let mut arguments = vec!["export", "--format", format, "--output", &file];
        if format == "csv" {
            arguments.extend(["--columns", "id,at,text,legs[0].ani,legs,seconds,score"]);
        }
        succeed(&mut program(folder.path(), &arguments));
    }
    let truth = fs::read_to_string(folder.path().join("truth")).unwrap();
    expect_equal(python, "compare", folder.path(), &truth);
}

#[test]
fn a_spreadsheet_shows_every_text_as_it_is() {
    let Some(python) = python() else { return };
    let has_office = Command::new("soffice").arg("--version").output().is_ok();
    if !has_office {
        println!("NOTICE: there is no LibreOffice: a spreadsheet is NOT tested");
        return;
    }
    let folder = calls(python, "500");
    let columns = ["--columns", "id,at,text,seconds,score", "--output", "rows.csv"];
    let arguments = [&["export", "--format", "csv", "--spreadsheet"], &columns[..]].concat();
    succeed(&mut program(folder.path(), &arguments));
    // comma, quotes and UTF-8, as its dialog proposes for a file with a byte order mark
    let convert = ["--headless", "--infilter=CSV:44,34,76,1", "--convert-to", "fods", "rows.csv"];
    let profile =
        format!("-env:UserInstallation=file://{}", folder.path().join("office").display());
    succeed(Command::new("soffice").arg(profile).args(convert).current_dir(folder.path()));
    let compare = [SCRIPT, "spreadsheet", "truth", "rows.fods"];
    let output = succeed(Command::new(python).args(compare).current_dir(folder.path()));
    assert_eq!(String::from_utf8_lossy(&output.stdout), "equal\n");
}

#[cfg(target_os = "linux")]
#[test]
fn g8_an_export_of_many_rows_takes_little_memory() {
    let Some(python) = python() else { return };
    let rows = std::env::var("ROWS").unwrap_or("150000".to_owned());
    let folder = calls(python, &rows);
    for format in ["csv", "ndjson", "parquet"] {
        let mut command = program(folder.path(), &["export", "--format", format]);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut output = child.stdout.take().unwrap();
        let reader = thread::spawn(move || {
            let (mut lines, mut buffer) = (0, vec![0; 1 << 20]);
            loop {
                match output.read(&mut buffer).unwrap() {
                    0 => return lines,
                    read => lines += buffer[..read].iter().filter(|byte| **byte == b'\n').count(),
                }
            }
        });
        let peak = peak_memory(&mut child);
        let lines = reader.join().unwrap();
        let header = usize::from(format == "csv");
        assert!(format == "parquet" || lines == rows.parse::<usize>().unwrap() + header, "{lines}");
        println!("{format}: {rows} rows, at most {} MB", peak / 1_000_000);
        assert!(peak < 200_000_000, "{format}: {} MB", peak / 1_000_000);
    }
}

/// The most memory that a process held, in bytes.
pub fn peak_memory(child: &mut Child) -> u64 {
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    while child.try_wait().unwrap().is_none() {
        let text = fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kibibytes = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
        peak = kibibytes.map_or(peak, |kibibytes| peak.max(kibibytes << 10));
        thread::sleep(Duration::from_millis(5));
    }
    peak
}

#[test]
fn an_export_whose_reader_goes_away_ends_quietly() {
    let sandbox = Sandbox::start(&["sandbox.conversations_per_day=300"]);
    let job = Job::new(&sandbox);
    job.run(FROM, TO, &[]);
    for format in ["csv", "ndjson", "parquet"] {
        let mut command = job.command_of(&["export", "--format", format], FROM, TO, &[]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut first = [0; 4];
        child.stdout.take().unwrap().read_exact(&mut first).unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!((output.status.code(), said(&output)), (Some(0), String::new()), "{format}");
    }
}

#[test]
fn an_exported_file_appears_whole_or_not_at_all() {
    let sandbox = Sandbox::start(&["sandbox.conversations_per_day=60"]);
    let job = Job::new(&sandbox);
    job.run(FROM, TO, &[]);
    let folder = TempDir::new().unwrap();
    let export = |path: &Path| {
        let arguments = ["export", "--output", path.to_str().unwrap()];
        job.command_of(&arguments, FROM, TO, &[]).output().unwrap()
    };
    let file = folder.path().join("rows.csv");
    fs::write(&file, "older").unwrap();
    // a file of the output is gone: the older export stays
    let day = job.rows().join("date=2024-01-02");
    fs::rename(&day, folder.path().join("away")).unwrap();
    let output = export(&file);
    assert_eq!(output.status.code(), Some(4), "{}", said(&output));
    assert!(said(&output).contains("is not as the ledger records it"), "{}", said(&output));
    assert_eq!(fs::read_to_string(&file).unwrap(), "older");
    fs::rename(folder.path().join("away"), &day).unwrap();
    assert_eq!(export(&file).status.code(), Some(0));
    // CSV, since no format is named
    let rows = fs::read_to_string(&file).unwrap();
    assert!(rows.starts_with("conversationId,") && rows.lines().count() > 100);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "no temporary file is left");
    for (path, expected) in [
        (job.rows().join("rows.csv"), "it lies in output.path"),
        (folder.path().to_owned(), "it is not a regular file"),
        (Path::new("/dev/null").to_owned(), "it is not a regular file"),
        (folder.path().join("none/rows.csv"), "No such file or directory"),
    ] {
        let output = export(&path);
        assert_eq!(output.status.code(), Some(4), "{path:?}");
        assert!(said(&output).contains(expected), "{}", said(&output));
    }
}

#[test]
fn an_export_says_what_is_not_committed_and_which_dataset_is_meant() {
    let sandbox = Sandbox::start(&["sandbox.conversations_per_day=20"]);
    let job = Job::new(&sandbox);
    let datasets = ["job.datasets=['conversations', 'queues']"];
    job.run(FROM, TO, &datasets);
    let export = |more: &[&str]| {
        let arguments = [&["export", "--columns", "conversationId"], more];
        job.command_of(&arguments.concat(), FROM, TO, &datasets).output().unwrap()
    };
    let output = export(&[]);
    assert_eq!(output.status.code(), Some(2));
    assert!(said(&output).contains("--dataset: the job has several datasets: name one of"));
    let output = export(&["--dataset", "calls"]);
    assert!(said(&output).contains("there is no dataset `calls`"), "{}", said(&output));
    let of = ["--dataset", "conversations"];
    let output = export(&[&of[..], &["--from", "2023-12-31", "--to", "2024-01-02"]].concat());
    assert_eq!(output.status.code(), Some(0));
    let warning = "warning: rows of these intervals are not committed, and so not exported: \
                   2023-12-31T00:00:00.000Z/2024-01-01T00:00:00.000Z; see `cxbackfill status`\n";
    assert_eq!(String::from_utf8_lossy(&output.stderr), warning);
    let output = export(&[&of[..], &["--from", "2024-01-02", "--to", "2024-01-01"]].concat());
    assert!(
        said(&output).contains("--from: 2024-01-02T00:00:00Z must be before --to"),
        "{}",
        said(&output)
    );
    let mut command = job.command_of(&["export", "--format", "ndjson"], FROM, TO, &[]);
    let output = set(command.arg("--spreadsheet"), &["job.name=x"]).output().unwrap();
    assert!(said(&output).contains("--spreadsheet: it needs --format csv"), "{}", said(&output));
}
