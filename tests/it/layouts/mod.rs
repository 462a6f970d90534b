//! The real binary with flat tables of its rows, in place of nested rows or beside them.

mod changes;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use cxbackfill::testing::{LEDGER, catalog};

use crate::common::{
    binary::{Job, Sandbox},
    reader::python,
};

const FROM: &str = "2024-01-01T00:00:00Z";
const TO: &str = "2024-01-03T00:00:00Z";

const LAYOUTS: [&str; 3] = ["nested", "tables", "both"];

fn said(output: &Output) -> String {
    [&output.stdout[..], &output.stderr].map(String::from_utf8_lossy).concat()
}

/// Runs a command of the job, which must end with this code, and returns what it printed.
#[track_caller]
fn execute(job: &Job, command: &[&str], settings: &[&str], code: i32) -> String {
    let output = job.command_of(command, FROM, TO, settings).output().unwrap();
    assert_eq!(output.status.code(), Some(code), "{command:?}: {}", said(&output));
    said(&output)
}

/// The content of every Parquet file below a folder, by path.
fn files(root: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let (mut folders, mut files) = (vec![root.to_owned()], BTreeMap::new());
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "parquet") {
                let content = fs::read(&path).unwrap();
                files.insert(path.strip_prefix(root).unwrap().to_owned(), content);
            }
        }
    }
    files
}

/// The folders of files, without those of the days.
fn folders(files: &BTreeMap<PathBuf, Vec<u8>>) -> BTreeSet<String> {
    let folder = |path: &PathBuf| path.ancestors().nth(2).unwrap().display().to_string();
    files.keys().map(folder).collect()
}

/// Deletes the ledger.
fn lose_ledger(job: &Job) {
    for suffix in ["", "-wal", "-shm"] {
        let _ = fs::remove_file(job.folder(&format!("{LEDGER}{suffix}")));
    }
}

/// Checks with pyarrow, DuckDB and Polars that the tables of an output have what its rows have,
/// which are read from another output with nested rows.
fn expect_tables_of(nested: &Path, output: &Path) {
    let Some(python) = python() else { return };
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/layouts.py");
    let compared = Command::new(python).arg(script).arg(nested).arg(output).output().unwrap();
    assert!(
        compared.status.success() && said(&compared).ends_with("equal\n"),
        "{}",
        said(&compared)
    );
}

#[test]
fn every_layout_has_the_same_rows_and_outlives_its_ledger() {
    for platform in ["genesys-cloud", "nice-cxone"] {
        let sandbox = Sandbox::start(&["sandbox.conversations_per_day=20"]);
        let names: Vec<_> = catalog::builtin(platform).unwrap().datasets.keys().collect();
        let (platform, datasets) =
            (format!("source.platform={platform}"), format!("job.datasets={names:?}"));
        let mut nested = None;
        for layout in LAYOUTS {
            let job = Job::new(&sandbox);
            let layout_setting = format!("output.layout={layout}");
            let settings = [platform.as_str(), &datasets, &layout_setting];
            let rows = job.run(FROM, TO, &settings)["rows_written"].clone();
            let verified = execute(&job, &["verify"], &settings, 0);
            let status = execute(&job, &["status", "--json"], &settings, 0);
            let written = files(&job.folder(""));
            let has_tables = folders(&written).iter().any(|folder| folder.contains(".tables/"));
            assert_eq!(has_tables, layout != "nested", "{:?}", folders(&written));

            lose_ledger(&job);
            execute(&job, &["rebuild"], &settings, 0);
            assert_eq!(execute(&job, &["verify"], &settings, 0), verified, "{layout}");
            assert_eq!(execute(&job, &["status", "--json"], &settings, 0), status, "{layout}");
            assert_eq!(job.run(FROM, TO, &settings)["requests"], 0, "{layout}");
            assert!(files(&job.folder("")) == written, "{layout}: no file has changed");
            match &nested {
                None => nested = Some((job, rows)),
                Some((first, expected)) => {
                    assert_eq!(rows, *expected, "{layout}");
                    if first.rows().is_dir() {
                        expect_tables_of(&first.folder(""), &job.folder(""));
                    }
                }
            }
        }
    }
}

#[test]
fn a_day_is_refreshed_replaced_and_dropped_with_its_tables() {
    let sandbox = Sandbox::start(&["sandbox.conversations_per_day=60"]);
    for layout in ["tables", "both"] {
        let job = Job::new(&sandbox);
        let layout_setting = format!("output.layout={layout}");
        let settings = [layout_setting.as_str()];
        job.run(FROM, TO, &settings);
        let verified = execute(&job, &["verify"], &settings, 0);
        assert!(verified.contains(" 120 rows, "), "{layout}: {verified}");
        let written = files(&job.folder(""));
        // a rebuild keeps what is recorded, and takes no file for one of another table
        let is_of_sessions = |path: &&PathBuf| path.starts_with("conversations.tables/sessions");
        let of_sessions = job.folder("").join(written.keys().find(is_of_sessions).unwrap());
        let of_segments = of_sessions.parent().unwrap().display().to_string();
        let of_segments = of_segments.replace("/sessions/", "/segments/");
        fs::copy(&of_sessions, Path::new(&of_segments).join("copy.parquet")).unwrap();
        let rebuilt = execute(&job, &["rebuild"], &settings, 1);
        let reason = "its footer says that it belongs in the folder conversations.tables/sessions/";
        assert!(rebuilt.contains(reason), "{rebuilt}");
        fs::remove_dir_all(job.folder("_orphaned")).unwrap();
        assert_eq!(execute(&job, &["verify"], &settings, 0), verified, "{layout}");
        let is_of_day = |path: &PathBuf| path.display().to_string().contains("date=2024-01-02");

        for command in [&["run", "--again", "2024-01-02"][..], &["run", "--refresh", "2d"]] {
            execute(&job, command, &settings, 0);
            execute(&job, &["verify"], &settings, 0);
            let replaced = files(&job.folder(""));
            assert!(replaced.keys().eq(written.keys()), "{layout}: {:?}", replaced.keys());
            for (path, content) in replaced.iter().filter(|(path, _)| is_of_day(path)) {
                assert!(*content != written[path], "{}: another commit", path.display());
            }
        }
        let drop = ["drop", "--from", "2024-01-02", "--to", "2024-01-03", "--yes"];
        execute(&job, &drop, &settings, 0);
        let mut rest = written.clone();
        rest.retain(|path, _| !is_of_day(path));
        assert!(files(&job.folder("")).keys().eq(rest.keys()), "{layout}");
        execute(&job, &["verify"], &settings, 0);
        job.run(FROM, TO, &settings);
        assert!(files(&job.folder("")).keys().eq(written.keys()), "{layout}");
        execute(&job, &["verify"], &settings, 0);
    }
}

#[test]
fn a_rebuild_restores_the_sums_by_hour_and_media_type_of_every_layout() {
    let sandbox = Sandbox::start(&["sandbox.conversations_per_day=20"]);
    for layout in LAYOUTS {
        let (job, settings) = (Job::new(&sandbox), format!("output.layout={layout}"));
        job.run(FROM, TO, &[&settings]);
        let sums = || -> Vec<(i64, String, i64, i64, i64)> {
            let ledger = rusqlite::Connection::open(job.folder(LEDGER)).unwrap();
            let sql = "SELECT hour_ms, media, rows, rows_handled, handle_ms FROM hour_sum
                       ORDER BY dataset, hour_ms, media";
            let mut query = ledger.prepare(sql).unwrap();
            let sums = query.query_map([], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?))
            });
            sums.unwrap().map(Result::unwrap).collect()
        };
        let before = sums();
        assert!(before.iter().any(|(_, media, .., handle_ms)| media == "voice" && *handle_ms > 0));
        lose_ledger(&job);
        execute(&job, &["rebuild"], &[&settings], 0);
        assert_eq!(sums(), before, "{layout}");
    }
}
