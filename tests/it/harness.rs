//! The harness that compares the program with others counts the rows correctly.

use std::{fs, path::Path, process::Command, sync::Arc};

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use parquet::arrow::ArrowWriter;
use serde_json::Value;
use tempfile::TempDir;

use crate::common::reader::python;

const HARNESS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/harness");

/// Writes a file with these ids, under the name that a contender gives the column.
fn write_ids(path: &Path, column: &str, ids: &[&str]) {
    let ids: ArrayRef = Arc::new(StringArray::from(ids.to_vec()));
    let batch = RecordBatch::try_from_iter([(column, ids)]).unwrap();
    let file = fs::File::create(path).unwrap();
    let mut writer = ArrowWriter::try_new(file, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

/// What the harness says about two files with these ids, where `a`, `b` and `c` are the truth.
fn checked(python: &Path, first: &[&str], second: &[&str]) -> (u64, Option<String>) {
    let folder = TempDir::new().unwrap();
    let output = folder.path().join("output");
    fs::create_dir_all(output.join("deep")).unwrap();
    write_ids(&output.join("1.parquet"), "conversationId", first);
    write_ids(&output.join("deep/2.parquet"), "conversation_id", second);
    let truth = folder.path().join("truth");
    let told = ["a", "b", "c"].map(|id| format!("{{\"conversationId\": \"{id}\"}}\n"));
    fs::write(&truth, told.concat()).unwrap();
    let mut command = Command::new(python);
    let said = command.args([&Path::new(HARNESS).join("check.py"), &output, &truth]);
    let said = said.output().unwrap();
    let said: Value = serde_json::from_slice(&said.stdout)
        .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&said.stderr)));
    (said["rows"].as_u64().unwrap(), said["fault"].as_str().map(str::to_owned))
}

#[test]
fn the_harness_names_ids_that_are_missing_foreign_or_doubled() {
    let Some(python) = python() else { return };
    let fault = |text: &str| Some(text.to_owned());
    assert_eq!(checked(python, &["a", "b"], &["c"]), (3, None));
    let missing = fault("1 ids are missing, such as b");
    assert_eq!(checked(python, &["a"], &["c"]), (2, missing));
    let foreign = fault("1 ids are not of the interval, such as d");
    assert_eq!(checked(python, &["a", "b"], &["c", "d"]), (4, foreign));
    let doubled = fault("1 ids came twice, such as c");
    assert_eq!(checked(python, &["a", "b", "c"], &["c"]), (4, doubled));
}

#[test]
fn the_harness_measures_the_program_and_names_what_it_does_not_measure() {
    let Some(python) = python() else { return };
    let folder = TempDir::new().unwrap();
    let mut command = Command::new(python);
    command.arg(Path::new(HARNESS).join("run.py"));
    command.args(["--rows", "500", "--rounds", "1", "--only", "cxbackfill"]);
    let program = env!("CARGO_BIN_EXE_cxbackfill");
    command.args(["--binary", program, "--python"]).arg(python);
    let ended = command.arg("--folder").arg(folder.path()).output().unwrap();
    let printed = String::from_utf8_lossy(&ended.stdout);
    assert!(ended.status.success(), "{printed}{}", String::from_utf8_lossy(&ended.stderr));
    let results = fs::read(folder.path().join("results.json")).unwrap();
    let results: Value = serde_json::from_slice(&results).unwrap();
    let rows = results["rows"].as_u64().unwrap();
    assert!((400..=600).contains(&rows), "{rows} rows");
    let run = &results["runs"]["cxbackfill"]["0"];
    assert_eq!((run["rows"].as_u64(), &run["fault"]), (Some(rows), &Value::Null));
    let [cpu, peak] = ["cpu_seconds", "peak_bytes"].map(|figure| run[figure].as_f64().unwrap());
    assert!((0.01..100.0).contains(&cpu), "{cpu} s of CPU");
    assert!((1e7..1e9).contains(&peak), "{peak} bytes at the peak");
    let rate = run["rows_per_cpu_second"].as_f64().unwrap();
    assert!((rate * cpu - rows as f64).abs() < 1e-6, "{rate} rows a CPU second");
    assert!(printed.contains("\n| cxbackfill | ") && printed.contains("\nNot measured: faucet"));
    assert_eq!(printed, fs::read_to_string(folder.path().join("results.md")).unwrap());
}
