//! A scan of everything that a backfill has written for what is personal.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;
use tempfile::TempDir;

use super::{FROM, KEY, SCRIPT, SET, TO, said};
use crate::common::{
    binary::{Job, Sandbox},
    reader::python,
};

/// The personal values that are found, by the kind of place.
type Found = BTreeMap<String, Vec<String>>;

/// A backfill, what of it is forgotten afterwards, and where a scan finds personal data if nothing
/// is hidden.
#[derive(Clone, Copy)]
struct Case {
    platform: &'static str,
    datasets: &'static [&'static str],
    /// The datasets of the sandbox that have what is personal.
    truth: &'static [&'static str],
    /// The dataset of which a row is forgotten, and the column of its id.
    id: (&'static str, &'static str),
    layout: &'static str,
    settings: &'static [&'static str],
    sandbox: &'static [&'static str],
    /// The places that have personal data if nothing is hidden, and the fewest values of each.
    places: &'static [&'static [(&'static str, usize)]],
}

const NESTED: &[(&str, usize)] = &[
    ("nested", 20),
    ("nested, bytes", 20),
    ("exported", 20),
    ("exported, bytes", 20),
    (".ndjson", 20),
];
const TABLES: &[(&str, usize)] = &[("table", 20), ("table, bytes", 20), (".csv", 20)];
const QUARANTINE: &[(&str, usize)] = &[("quarantine", 2)];
/// What quotes errors: number, address and name of the caller.
const ERRORS: &[(&str, usize)] = &[(".txt", 3), ("ledger", 3), (".html", 3)];

const GENESYS_CLOUD: Case = Case {
    platform: "genesys-cloud",
    datasets: &["conversations", "users", "audits", "queue-members", "groups", "flows"],
    truth: &["conversations+attributes", "users", "audits", "groups", "flows"],
    id: ("conversations", "conversationId"),
    layout: "nested",
    settings: &["fetch.attributes=true"],
    sandbox: &[
        "sandbox.conversations_per_day=60",
        "sandbox.hostile=[\"personal-retries\", \"personal-rows\"]",
    ],
    places: &[NESTED, QUARANTINE, ERRORS],
};

const CXONE: Case = Case {
    platform: "nice-cxone",
    datasets: &[
        "contacts",
        "contact-custom-data",
        "agents",
        "agent-interaction-history",
        "agent-state-history",
    ],
    truth: &[
        "contacts",
        "contact-custom-data",
        "agents",
        "agent-interaction-history",
        "agent-state-history",
    ],
    id: ("contacts", "contactId"),
    layout: "nested",
    settings: &[],
    sandbox: &[
        "sandbox.conversations_per_day=60",
        "sandbox.drift=true",
        "sandbox.hostile=[\"personal-retries\", \"personal-rows\"]",
    ],
    // a page with more rows than its exact total is fetched again, without those in front
    places: &[NESTED, ERRORS],
};

/// The personal values that are found in the files of a folder, by the kind of file.
fn scan(python: &Path, folder: &Path, truth: &str) -> Found {
    let file = TempDir::new().unwrap();
    let file = file.path().join("truth");
    fs::write(&file, truth).unwrap();
    let output =
        Command::new(python).args([SCRIPT, "scan"]).args([folder, &file]).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let line = |line: &str| {
        let line: Value = serde_json::from_str(line).unwrap();
        let found = line["found"].as_array().unwrap().iter();
        let found = found.map(|value| value.as_str().unwrap().to_owned()).collect();
        (line["place"].as_str().unwrap().to_owned(), found)
    };
    String::from_utf8(output.stdout).unwrap().lines().map(line).collect()
}

/// The names of the folders in a folder. Empty if it does not exist.
fn folders(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().into_string().unwrap()).collect()
}

impl Case {
    /// Runs it with the most detailed log, exports and forgets, and keeps all that is said beside
    /// the output. Returns the folder of both.
    fn write(&self, job: &Job, truth: &str, hiding: &[&str]) -> PathBuf {
        let wanted = [
            format!("source.platform={}", self.platform),
            format!("job.datasets={:?}", self.datasets),
            format!("output.layout={}", self.layout),
        ];
        let wanted: Vec<_> = wanted.iter().map(String::as_str).collect();
        let settings = [&wanted[..], self.settings, hiding].concat();
        let output = job.folder("");
        let folder = output.parent().unwrap();
        let execute = |arguments: &[&str], codes: &[i32]| {
            let mut command = job.command_of(arguments, FROM, TO, &settings);
            let output = command.env("RUST_LOG", "trace").output().unwrap();
            let code = output.status.code().unwrap();
            assert!(codes.contains(&code), "{arguments:?}: {code}: {}", said(&output));
            let name = format!("{}.txt", arguments.join(" ").replace('/', "-"));
            fs::write(folder.join(name), said(&output)).unwrap();
        };
        execute(&["run", "--summary", "json"], &[0, 1]);
        execute(&["status"], &[0, 1]);
        execute(&["status", "--json"], &[0, 1]);
        execute(&["plan"], &[0]);
        fs::create_dir_all(folder.join("exported")).unwrap();
        let export = |arguments: &[&str], format: &str| {
            let file = format!("{}.{format}", arguments.join("-").replace("--", ""));
            let file = folder.join("exported").join(file);
            let format = ["export", "--format", format, "--output", file.to_str().unwrap()];
            execute(&[&format[..], arguments].concat(), &[0]);
        };
        for dataset in self.datasets {
            if job.folder(dataset).exists() {
                export(&["--dataset", dataset], "ndjson");
                export(&["--dataset", dataset], "parquet");
            }
            for table in folders(&job.folder(&format!("{dataset}.tables"))) {
                export(&["--dataset", dataset, "--table", &table], "csv");
            }
        }
        if self.layout != "tables" {
            let (dataset, id) = self.id;
            let rows = truth.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
            let id = rows.map(|row| row[id].clone()).find(|id| !id.is_null()).unwrap();
            let id = id.as_str().map_or(id.to_string(), str::to_owned);
            execute(&["forget", "--dataset", dataset, "--id", &id, "--yes"], &[0]);
            assert!(output.join("_forgotten.json").exists());
        }
        execute(&["verify"], &[0, 1]);
        folder.to_owned()
    }

    /// Writes with the platform's set and without, and scans both.
    fn expect_nothing_personal(&self) {
        let Some(python) = python() else { return };
        let found = |hiding: &[&str]| {
            // a behaviour plays once in a sandbox
            let sandbox = Sandbox::start(self.sandbox);
            let truth = |name: &&str| sandbox.truth_of(self.platform, name, FROM, TO);
            let truth: String = self.truth.iter().map(truth).collect();
            let job = Job::new(&sandbox);
            scan(python, &self.write(&job, &truth, hiding), &truth)
        };
        let hidden = found(&[SET, KEY]);
        for (place, found) in &hidden {
            assert!(found.is_empty(), "{place}: {found:?}");
        }
        let shown = found(&[]);
        for (place, fewest) in self.places.iter().copied().flatten() {
            let found = shown.get(*place).map_or(0, Vec::len);
            assert!(found >= *fewest, "the scan finds what is there: {found} in {place}");
        }
        assert!(hidden.keys().eq(shown.keys()), "{:?}, {:?}", hidden.keys(), shown.keys());
        assert!(hidden.contains_key(".json"), "{:?}", hidden.keys());
    }
}

#[test]
fn with_the_set_nothing_personal_of_genesys_cloud_is_written() {
    GENESYS_CLOUD.expect_nothing_personal();
}

#[test]
fn with_the_set_nothing_personal_of_genesys_cloud_is_written_in_both_layouts() {
    let datasets = &["conversations", "users", "audits"];
    Case {
        datasets,
        layout: "both",
        places: &[NESTED, TABLES, QUARANTINE, ERRORS],
        ..GENESYS_CLOUD
    }
    .expect_nothing_personal();
}

#[test]
fn with_the_set_nothing_personal_of_genesys_cloud_is_written_in_tables() {
    let datasets = &["conversations", "audits"];
    Case { datasets, layout: "tables", places: &[TABLES, QUARANTINE, ERRORS], ..GENESYS_CLOUD }
        .expect_nothing_personal();
}

#[test]
fn with_the_set_no_drifted_or_broken_row_of_genesys_cloud_leaks() {
    let case = Case {
        datasets: &["conversations"],
        truth: &["conversations"],
        layout: "both",
        settings: &["fetch.strategy=query"],
        sandbox: &[
            "sandbox.conversations_per_day=60",
            "sandbox.drift=true",
            "sandbox.hostile=[\"personal-retries\", \"personal-rows\"]",
        ],
        places: &[NESTED, TABLES, QUARANTINE, ERRORS],
        ..GENESYS_CLOUD
    };
    case.expect_nothing_personal();
}

#[test]
fn with_the_set_nothing_personal_of_cxone_is_written() {
    CXONE.expect_nothing_personal();
}

#[test]
fn with_the_set_nothing_personal_of_cxone_is_written_in_both_layouts() {
    Case { layout: "both", places: &[NESTED, TABLES, ERRORS], ..CXONE }.expect_nothing_personal();
}

#[test]
fn with_the_set_nothing_personal_of_cxone_is_written_in_tables() {
    let datasets = &["contacts"];
    Case { datasets, layout: "tables", places: &[TABLES, ERRORS], ..CXONE }
        .expect_nothing_personal();
}

#[test]
fn with_the_set_no_error_of_a_server_tells_a_number_an_address_or_a_row() {
    let Some(python) = python() else { return };
    for (hostile, platform, settings) in [
        ("personal-errors", "genesys-cloud", &[][..]),
        ("personal-errors", "nice-cxone", &["job.datasets=[\"contacts\"]"]),
        ("personal-jobs", "genesys-cloud", &["fetch.strategy=job"]),
    ] {
        let sandbox = Sandbox::start(&[&format!("sandbox.hostile=[\"{hostile}\"]")]);
        let truth = sandbox.truth(FROM, TO);
        let found = |hiding: &[&str]| {
            let job = Job::new(&sandbox);
            let platform = format!("source.platform={platform}");
            let settings = [&[platform.as_str()], settings, hiding].concat();
            let mut command = job.command(FROM, TO, &settings);
            let output = command.env("RUST_LOG", "trace").output().unwrap();
            assert_eq!(output.status.code(), Some(1), "{}", said(&output));
            fs::write(job.folder("log.txt"), said(&output)).unwrap();
            let status = job.command_of(&["status", "--json"], FROM, TO, &settings);
            let status = { status }.output().unwrap();
            fs::write(job.folder("status.json"), said(&status)).unwrap();
            scan(python, &job.folder(""), &truth)
        };
        let hidden = found(&[SET, KEY]);
        assert!(hidden.values().all(Vec::is_empty), "{hostile}, {platform}: {hidden:?}");
        let shown = found(&[]);
        for place in [".txt", "ledger", ".html", ".json"] {
            assert!(shown[place].len() >= 2, "{hostile}, {platform}: {place}: {shown:?}");
        }
    }
}
