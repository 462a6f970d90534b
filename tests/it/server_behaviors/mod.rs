//! What real servers do, by name, and what the program does about it: a table, run on the real
//! binary. Each row bounds the time, the requests and the memory of a run.

mod hostile;
mod jobs;
mod outages;
mod replies;
mod waiting;

use std::{
    collections::BTreeSet,
    fs::File,
    path::Path,
    process::{Command, Output, Stdio},
    time::Duration,
};

use arrow::array::AsArray;
use cxbackfill::testing::behaviors;
use parquet::arrow::{ProjectionMask, arrow_reader::ParquetRecordBatchReaderBuilder};
use serde_json::Value;
use tempfile::TempDir;
use tokio::time::Instant;

use crate::common::binary::{Sandbox, program, set};

const DAY: [&str; 2] = ["2024-01-01T00:00:00Z", "2024-01-02T00:00:00Z"];

/// Characters that change the order or the width of what a terminal shows.
const DIRECTIONS: [char; 6] =
    ['\u{200b}', '\u{200e}', '\u{202e}', '\u{2066}', '\u{2069}', '\u{feff}'];

/// A server that behaves so, and what is expected of a run against it.
struct Case {
    /// The names of the behaviours in the key `odd` of the sandbox.
    odd: &'static [&'static str],
    /// The names of the behaviours in the key `hostile` of the sandbox.
    hostile: &'static [&'static str],
    /// More settings of the sandbox.
    sandbox: &'static [&'static str],
    /// More settings of the run, such as `job.datasets=["queues"]`.
    settings: &'static [&'static str],
    /// A catalogue of the user's, for behaviours that no built-in dataset meets; else empty.
    catalog: &'static str,
    /// The dataset whose rows are compared, and the column of its id.
    dataset: (&'static str, &'static str),
    /// The expected exit code.
    code: i32,
    /// Which rows the output has.
    rows: Rows,
    /// What the decision is: texts that standard error or the summary contains.
    says: &'static [&'static str],
    /// Texts that neither contains.
    never_says: &'static [&'static str],
    most_time: Duration,
    most_requests: u64,
    most_mib: u64,
}

/// Which rows of the truth the output has.
#[derive(Debug, PartialEq, Eq)]
enum Rows {
    /// All, each once.
    All,
    /// None.
    None,
    /// This number of rows, whatever the truth has: the dataset is not one of the sandbox's.
    Count(usize),
}

/// A day of 200 conversations in pages of 20, without a quota, that is fetched without a gap.
const CASE: Case = Case {
    odd: &[],
    hostile: &[],
    sandbox: &[],
    settings: &[],
    catalog: "",
    dataset: ("conversations", "conversationId"),
    code: 0,
    rows: Rows::All,
    says: &[],
    never_says: &["panicked"],
    most_time: Duration::from_secs(20),
    most_requests: 40,
    most_mib: 250,
};

impl Case {
    fn name(&self) -> String {
        [self.odd, self.hostile, self.settings].concat().join(" ")
    }

    fn command(&self, sandbox: &Sandbox, folder: &Path) -> Command {
        std::fs::write(folder.join("datasets.toml"), self.catalog).unwrap();
        let mut command = program(folder, &["run", "--summary", "json"]);
        let url = sandbox.url();
        let hosts = [format!("source.api_url={url}"), format!("source.login_url={url}")];
        set(&mut command, &hosts);
        set(&mut command, &[format!("job.from={}", DAY[0]), format!("job.to={}", DAY[1])]);
        set(
            &mut command,
            &[
                "auth.client_id=sandbox",
                "auth.client_secret=sandbox",
                "budget.requests=0",
                "fetch.page_size=20",
                "retry.first=10ms",
                "retry.longest=100ms",
            ],
        );
        if !self.catalog.is_empty() {
            set(&mut command, &["source.catalog=datasets.toml"]);
        }
        set(&mut command, self.settings);
        command
    }

    /// Runs it, and returns what is not as expected.
    fn check(&self) -> Vec<String> {
        let list = |names: &[&str]| format!("[{}]", names.join(","));
        let mut settings = vec![
            format!("sandbox.odd={}", quoted(self.odd)),
            format!("sandbox.hostile={}", quoted(self.hostile)),
        ];
        settings.extend(self.sandbox.iter().map(|&setting| setting.to_owned()));
        let settings: Vec<_> = settings.iter().map(String::as_str).collect();
        let sandbox = Sandbox::start(&settings);
        let folder = TempDir::new().unwrap();
        let start = Instant::now();
        let output = self
            .command(&sandbox, folder.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .output()
            .unwrap();
        let elapsed = start.elapsed();
        let requests = requests(&sandbox);
        let mut problems = self.problems(&sandbox, folder.path(), &output);
        let memory = serde_json::from_slice::<Value>(&output.stdout)
            .ok()
            .and_then(|summary| Some(summary["peak_rss_bytes"].as_u64()? >> 20))
            .unwrap_or_default();
        for (what, value, most) in [
            ("milliseconds", elapsed.as_millis() as u64, self.most_time.as_millis() as u64),
            ("requests", requests, self.most_requests),
            ("MiB", memory, self.most_mib),
        ] {
            if value > most {
                problems.push(format!("{value} {what}, at most {most} are expected"));
            }
        }
        if !problems.is_empty() {
            let said = String::from_utf8_lossy(&output.stderr);
            let tail: Vec<_> = said.lines().rev().take(12).collect();
            problems.push(format!("it said {}", list(&tail)));
        }
        problems
    }

    fn problems(&self, sandbox: &Sandbox, folder: &Path, output: &Output) -> Vec<String> {
        let mut problems = Vec::new();
        if output.status.code() != Some(self.code) {
            problems.push(format!("exit code {:?}, expected {}", output.status.code(), self.code));
        }
        let said = [&output.stderr[..], &output.stdout].map(String::from_utf8_lossy).concat();
        for text in self.says.iter().filter(|&&text| !said.contains(text)) {
            problems.push(format!("it does not say `{text}`"));
        }
        for text in self.never_says.iter().filter(|&&text| said.contains(text)) {
            problems.push(format!("it says `{text}`"));
        }
        let is_harmful = |c: char| c.is_control() && c != '\n' || DIRECTIONS.contains(&c);
        if let Some(character) = said.chars().find(|&c| is_harmful(c)) {
            problems.push(format!("it says the character {character:?}"));
        }
        let (dataset, id) = self.dataset;
        let ids = ids(&folder.join("out").join(dataset), id);
        let unique: BTreeSet<_> = ids.iter().cloned().collect();
        // a column that is part of an id may repeat; then the number of rows tells
        if unique.len() < ids.len() && !matches!(self.rows, Rows::Count(_)) {
            problems.push(format!("{} rows are doubled", ids.len() - unique.len()));
        }
        let truth = || -> BTreeSet<String> {
            let text = sandbox.truth_of("genesys-cloud", dataset, DAY[0], DAY[1]);
            text.lines()
                .map(|line| {
                    let row: Value = serde_json::from_str(line).unwrap();
                    row[id].as_str().unwrap().to_owned()
                })
                .collect()
        };
        let as_expected = match self.rows {
            Rows::None => ids.is_empty(),
            Rows::Count(count) => ids.len() == count,
            Rows::All => unique == truth(),
        };
        if !as_expected {
            problems.push(format!("{} rows, expected {:?}", ids.len(), self.rows));
        }
        problems
    }
}

/// A list of texts in TOML.
fn quoted(names: &[&str]) -> String {
    let quoted: Vec<_> = names.iter().map(|name| format!("\"{name}\"")).collect();
    format!("[{}]", quoted.join(","))
}

/// The requests that the sandbox received.
fn requests(sandbox: &Sandbox) -> u64 {
    let stats = sandbox.stats();
    let sum = |key: &str| -> u64 {
        stats[key].as_object().unwrap().values().map(|count| count.as_u64().unwrap()).sum()
    };
    sum("api_requests") + sum("token_requests")
}

/// The ids in all Parquet files below a folder.
fn ids(folder: &Path, column: &str) -> Vec<String> {
    let mut ids = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            ids.extend(self::ids(&path, column));
        } else if path.extension().is_some_and(|end| end == "parquet") {
            let file = File::open(path).unwrap();
            let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
            let mask = ProjectionMask::columns(reader.parquet_schema(), [column]);
            for batch in reader.with_projection(mask).build().unwrap() {
                let batch = batch.unwrap();
                let column = batch.column(0).as_string::<i32>();
                ids.extend(column.iter().map(|id| id.unwrap_or_default().to_owned()));
            }
        }
    }
    ids
}

/// Runs each case and fails with all that is not as expected.
fn expect(cases: &[Case]) {
    let failed: Vec<String> = cases
        .iter()
        .filter_map(|case| {
            let problems = case.check();
            (!problems.is_empty()).then(|| format!("{}: {}", case.name(), problems.join("; ")))
        })
        .collect();
    assert!(failed.is_empty(), "{failed:#?}");
}

#[test]
fn every_behaviour_of_the_sandbox_is_in_the_table() {
    let tables = [replies::CASES, waiting::CASES, outages::CASES, jobs::CASES, hostile::CASES];
    let tested: BTreeSet<_> = tables
        .into_iter()
        .flatten()
        .flat_map(|case| case.odd.iter().chain(case.hostile))
        .copied()
        .collect();
    let known: BTreeSet<_> = behaviors::all().map(|behavior| behavior.name).collect();
    assert_eq!(tested, known);
}
