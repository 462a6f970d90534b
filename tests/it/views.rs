//! `views`: the SQL that is printed, run by DuckDB and Spark over the files, and parsed by sqlglot.

use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
    process::Command,
};

use cxbackfill::testing::LEDGER;
use tempfile::TempDir;

use crate::common::{
    binary::{Job, Sandbox, program, set},
    reader::python,
};

const FROM: &str = "2024-01-01T00:00:00Z";
const TO: &str = "2024-01-03T00:00:00Z";
/// The layouts whose views are written in different ways.
const LAYOUTS: [&str; 2] = ["nested", "tables"];
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/views.py");

/// A job, and what is compared of it.
struct Case {
    /// What the script calls it.
    name: &'static str,
    /// The platform of the truth.
    platform: &'static str,
    /// Changes of the built-in catalog: texts, and what stands in their place.
    changes: &'static [(&'static str, &'static str)],
    settings: &'static [&'static str],
    /// The datasets whose truth is compared, and what it is called in the sandbox.
    truths: &'static [(&'static str, &'static str)],
    /// How many views are compared.
    compared: usize,
    /// How many are compared again over rows that the sandbox does not have, in place of the nested
    /// rows.
    compared_odd: usize,
}

/// Patterns of readers and texts of SQL have characters of the name of the output.
const CASES: [Case; 3] = [
    Case {
        name: "genesys-cloud",
        platform: "genesys-cloud",
        changes: &[],
        settings: &[
            "fetch.attributes=true",
            "job.datasets=['conversations', 'queues', 'queue-aggregates', 'audits', 'users', \
             'user-details', 'groups', 'presence-definitions']",
            r#"output.path="it's [1] {2}""#,
        ],
        truths: &[
            ("conversations", "conversations+attributes"),
            ("queues", "queues"),
            ("queue-aggregates", "queue-aggregates"),
            ("audits", "audits"),
            ("presence-definitions", "presence-definitions"),
        ],
        compared: 7 + 3 + 10,
        compared_odd: 5,
    },
    Case {
        name: "nice-cxone",
        platform: "nice-cxone",
        changes: &[],
        settings: &[
            "source.platform=nice-cxone",
            "job.datasets=['contacts', 'skills', 'agent-state-history']",
            r#"output.path="it's [1] {2}""#,
        ],
        truths: &[("contacts", "contacts"), ("skills", "skills")],
        compared: 3 + 10,
        compared_odd: 0,
    },
    Case {
        name: "own",
        platform: "genesys-cloud",
        changes: &[
            (
                "[dataset.conversations.tables.conversations.columns]\n",
                "[dataset.conversations.tables.conversations.columns]\n\
                 firstDivision = { first = 'divisionIds[]' }\n\
                 lastDivision = { last = 'divisionIds[]' }\n\
                 hasDivision = { any = 'divisionIds[]' }\n\
                 codes = { sum = 'participants[].sessions[].segments[].sipResponseCodes[]' }\n",
            ),
            (
                "columns = { queueId = { first = \"participants[]",
                "columns = { ofSession = { any = 'participants[].sessions[]' }, queueId = { first = \
                 \"participants[]",
            ),
        ],
        settings: &["source.platform=custom", "source.catalog=own.toml"],
        truths: &[("conversations", "conversations")],
        compared: 2,
        compared_odd: 0,
    },
];

/// The output of a case, and the SQL of its views.
struct Printed<'s> {
    job: Job<'s>,
    case: &'static Case,
    settings: Vec<String>,
    folder: TempDir,
}

impl<'s> Printed<'s> {
    fn new(sandbox: &'s Sandbox, case: &'static Case, layout: &str) -> Self {
        let job = Job::new(sandbox);
        if !case.changes.is_empty() {
            let mut catalog = include_str!("../../src/catalog/genesys.toml").to_owned();
            for (text, other) in case.changes {
                assert!(catalog.contains(text), "{text}");
                catalog = catalog.replace(text, other);
            }
            fs::write(job.folder("").with_file_name("own.toml"), catalog).unwrap();
        }
        let mut settings = vec![format!("output.layout={layout}")];
        settings.extend(case.settings.iter().map(|&setting| setting.to_owned()));
        let printed = Self { job, case, settings, folder: tempfile::tempdir().unwrap() };
        printed.job.run(FROM, TO, &printed.settings());
        for (dataset, name) in case.truths {
            let truth = sandbox.truth_of(case.platform, name, FROM, TO);
            assert!(!truth.is_empty(), "{dataset} without rows proves nothing");
            fs::write(printed.folder.path().join(dataset), truth).unwrap();
        }
        printed
    }

    fn settings(&self) -> Vec<&str> {
        self.settings.iter().map(String::as_str).collect()
    }

    /// What `views` prints with these arguments.
    fn sql(&self, arguments: &[&str]) -> String {
        let arguments = [&["views", "--dialect"], arguments].concat();
        let output = self.job.command_of(&arguments, FROM, TO, &self.settings()).output();
        let output = output.unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    fn written(&self, sql: &str) -> PathBuf {
        let file = self.folder.path().join("views.sql");
        fs::write(&file, sql).unwrap();
        file
    }

    /// Runs the views by an engine. All are read, and those that the script knows are compared.
    fn expect_truth(&self, python: &Path, engine: &str) {
        let sql = self.sql(&[engine]);
        let mut script = Command::new(python);
        script.args([SCRIPT, engine]).arg(self.written(&sql)).arg(self.case.name);
        // Spark writes its catalog into the current folder
        script.arg(self.folder.path()).current_dir(self.folder.path());
        let said = said_of(&mut script);
        let read = format!("{} views: read", sql.matches("CREATE OR REPLACE VIEW").count());
        assert!(said.lines().any(|line| line == read), "{read} is missing in {said}");
        let (equal, other): (Vec<_>, Vec<_>) =
            said.lines().filter(|line| *line != read).partition(|line| line.ends_with(": equal"));
        let odd = if sql.contains(".tables/") { 0 } else { self.case.compared_odd };
        assert_eq!((equal.len(), other), (self.case.compared + odd, Vec::new()), "{engine}");
    }

    /// The columns of each view, as DuckDB says.
    fn columns(&self, python: &Path) -> Vec<String> {
        let mut script = Command::new(python);
        script.args([SCRIPT, "columns"]).arg(self.written(&self.sql(&["duckdb"])));
        said_of(&mut script).lines().map(str::to_owned).collect()
    }
}

fn said_of(script: &mut Command) -> String {
    let output = script.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Whether Python code runs. If not, prints a notice, not by `eprintln!`, which the test harness
/// captures.
#[allow(clippy::explicit_write)]
fn can_run(python: &Path, code: &str, consequence: &str) -> bool {
    let runs = Command::new(python).args(["-c", code]).output().unwrap().status.success();
    if !runs {
        writeln!(io::stderr(), "NOTICE: {consequence}: `{code}` fails in Python").unwrap();
    }
    runs
}

#[test]
fn duckdb_answers_the_questions_of_the_views_as_the_truth_does() {
    let Some(python) = python() else { return };
    let sandbox = Sandbox::start(&["sandbox.conversations_per_day=150"]);
    for case in &CASES {
        Printed::new(&sandbox, case, "nested").expect_truth(python, "duckdb");
    }
}

#[test]
fn duckdb_reads_the_same_views_from_the_files_of_tables() {
    let Some(python) = python() else { return };
    let sandbox = Sandbox::start(&["sandbox.conversations_per_day=60"]);
    for case in &CASES {
        let nested = Printed::new(&sandbox, case, "nested").columns(python);
        for layout in ["tables", "both"] {
            let printed = Printed::new(&sandbox, case, layout);
            printed.expect_truth(python, "duckdb");
            let sql = printed.sql(&["duckdb"]);
            assert!(!sql.contains("unnest"), "{layout}: {sql}");
            let (mut columns, mut expected) = (printed.columns(python), nested.clone());
            if layout == "tables" {
                columns.retain(|view| !is_of_rows(view));
                expected.retain(|view| !is_of_rows(view));
            }
            assert_eq!(columns, expected, "{} {layout}", case.name);
        }
    }
}

/// Whether a view has nested rows in the layout that has such.
fn is_of_rows(view: &str) -> bool {
    view.starts_with("current_") || view.split(':').next().unwrap().ends_with("_rows")
}

#[test]
fn views_over_half_of_an_upgrade_to_another_layout_are_refused() {
    let sandbox = Sandbox::start(&["sandbox.conversations_per_day=20"]);
    let job = Job::new(&sandbox);
    job.run(FROM, TO, &[]);
    let ledger = rusqlite::Connection::open(job.folder(LEDGER)).unwrap();
    let mixed = "UPDATE identity SET value = 'mixed' WHERE key = 'output.layout'";
    assert_eq!(ledger.execute(mixed, []).unwrap(), 1);
    let output = job.command_of(&["views", "--dialect", "duckdb"], FROM, TO, &[]).output().unwrap();
    assert_eq!(
        String::from_utf8_lossy(&output.stderr),
        "error: an upgrade of the output to another output.layout was interrupted: finish it with \
         `cxbackfill upgrade`\n"
    );
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn spark_answers_the_questions_of_the_views_as_the_truth_does() {
    let Some(python) = python() else { return };
    let java = "import pyspark, shutil, sys; sys.exit(shutil.which('java') is None)";
    if !can_run(python, java, "the views are NOT run by Spark") {
        return;
    }
    let sandbox = Sandbox::start(&["sandbox.conversations_per_day=60"]);
    // a session takes most of a minute, and DuckDB compares every case in every layout
    let layouts = [&LAYOUTS[..], &["tables"], &["nested"]];
    for (case, layout) in
        CASES.iter().zip(layouts).flat_map(|(case, of)| of.iter().map(move |of| (case, of)))
    {
        Printed::new(&sandbox, case, layout).expect_truth(python, "spark");
    }
}

#[test]
fn a_parser_of_their_dialect_reads_the_views_of_every_dialect() {
    let Some(python) = python() else { return };
    if !can_run(python, "import sqlglot", "the views of each dialect are NOT parsed") {
        assert!(std::env::var_os("CI").is_none(), "tests/requirements.txt names sqlglot");
        return;
    }
    let sandbox = Sandbox::start(&["sandbox.conversations_per_day=20"]);
    for (case, layout) in CASES.iter().flat_map(|case| LAYOUTS.map(|layout| (case, layout))) {
        let printed = Printed::new(&sandbox, case, layout);
        for arguments in [
            &["duckdb", "--schema", "calls"][..],
            &["spark", "--location", "s3://calls/out", "--schema", "main.calls"],
            &["snowflake", "--location", "@calls/it's out/"],
            &["snowflake", "--location", "@calls/out", "--schema", "lake.calls"],
            &["bigquery", "--location", "gs://calls/out", "--schema", "my-project.calls"],
        ] {
            let sql = printed.sql(arguments);
            assert!(!sql.contains("out//"), "a slash at the end of the place means nothing: {sql}");
            let mut script = Command::new(python);
            script.args([SCRIPT, "parse"]).arg(printed.written(&sql)).arg(arguments[0]);
            let said = said_of(&mut script);
            let statements = sql.lines().filter(|line| line.starts_with("CREATE ")).count();
            let parsed = said.lines().filter(|line| line.ends_with(": parsed")).count();
            assert_eq!(parsed, statements, "{arguments:?}: {said}");
            assert!(statements > printed.case.compared, "{arguments:?}");
        }
    }
}

#[test]
fn datasets_and_columns_that_are_not_in_the_files_have_no_views() {
    let sandbox = Sandbox::start(&["sandbox.conversations_per_day=20"]);
    let views_of = |datasets: &str| {
        let (job, settings) = (Job::new(&sandbox), [format!("job.datasets={datasets}")]);
        let settings = settings.each_ref().map(String::as_str);
        job.run(FROM, TO, &settings);
        let views = ["views", "--dialect", "duckdb"];
        let output = job.command_of(&views, FROM, TO, &settings).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let sql = views_of("['conversations']");
    assert!(sql.contains("VIEW \"metrics\"") && sql.contains("VIEW \"first_contact\""), "{sql}");
    assert!(!sql.contains("VIEW \"attributes\""), "only jobs return attributes");
    assert!(!sql.contains("current_users"), "no file has users");
    let sql = views_of("['queues']");
    assert!(sql.contains("VIEW \"current_queues\""), "{sql}");
    assert!(!sql.contains("VIEW \"first_contact\""), "no file has sessions");
}

#[test]
fn a_place_that_the_database_cannot_read_is_refused() {
    let folder = TempDir::new().unwrap();
    for (arguments, expected) in [
        (
            &["snowflake"][..],
            "error: Snowflake cannot read the folder of the output: copy it, and give the place \
             by `--location`: a stage, such as `@calls/out`\n",
        ),
        (
            &["bigquery", "--location", "s3://calls/out", "--schema", "calls"],
            "error: BigQuery cannot read files at `s3://calls/out`: `--location` must be a \
             bucket, such as `gs://calls/out`\n",
        ),
        (
            &["bigquery", "--location", "gs://calls/out"],
            "error: BigQuery's views name each other with their dataset: give it by `--schema`, \
             such as `--schema calls`\n",
        ),
    ] {
        let mut command = program(folder.path(), &[&["views", "--dialect"], arguments].concat());
        set(&mut command, &crate::common::binary::SIMULATED);
        let output = command.output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stderr), expected);
        assert_eq!(output.status.code(), Some(2));
    }
}
