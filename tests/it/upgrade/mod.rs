//! The real binary upgrades outputs of earlier versions to the current columns.

mod killed;

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use cxbackfill::testing::{LEDGER, Snapshot};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use tempfile::TempDir;

use crate::{
    common::{
        binary::program,
        fixture::{LEDGER_1, MILLISECONDS, copy, execute},
        reader::python,
    },
    export::{calls, peak_memory},
};

/// The job that wrote [`MILLISECONDS`].
const JOB: [&str; 3] = [
    r#"job.datasets=["conversations","audits"]"#,
    "job.to=2024-01-03T00:00:00Z",
    "sandbox.conversations_per_day=1",
];

/// A copy of [`MILLISECONDS`] in the folder `out`.
fn old_output() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    copy(Path::new(MILLISECONDS), &folder.path().join("out"));
    folder
}

/// Every Parquet file that readers of a folder see, by its path below it.
fn files(root: &Path) -> Vec<PathBuf> {
    let (mut folders, mut files) = (vec![root.to_owned()], Vec::new());
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            let is_hidden = path.file_name().unwrap().to_str().unwrap().starts_with('_');
            match path.is_dir() {
                _ if is_hidden => {}
                true => folders.push(path),
                false => files.push(path.strip_prefix(root).unwrap().to_owned()),
            }
        }
    }
    files.sort();
    files
}

/// Checks through pyarrow that the output has the rows of the one that it was upgraded from.
fn expect_same_rows(old: &str, output: &Path) {
    let Some(python) = python() else { return };
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/upgraded.py");
    let compared = Command::new(python).arg(script).arg(old).arg(output).output().unwrap();
    let text = String::from_utf8([compared.stdout, compared.stderr].concat()).unwrap();
    assert!(text.ends_with(" rows equal\n") && text.lines().count() == 1, "{text}");
}

/// Checks that `verify`, `status` and the next run find nothing to say or to request.
fn expect_agreement(folder: &Path, settings: &[&str]) {
    let (code, text) = execute(folder, &["verify"], settings);
    assert!(code == 0 && text.ends_with("all as the ledger says\n"), "{text}");
    let (code, text) = execute(folder, &["status"], settings);
    assert!(code == 0 && text.contains(": complete\n"), "{text}");
    let (code, text) = execute(folder, &["run", "--summary", "json"], settings);
    assert!(code == 0 && text.contains(r#""requests":0"#), "{text}");
}

#[test]
fn an_upgrade_keeps_every_row_and_the_next_run_makes_no_request() {
    let folder = old_output();
    let output = folder.path().join("out");
    let before = Snapshot::read(&output.join(LEDGER)).unwrap();

    let (code, text) = execute(folder.path(), &["run"], &JOB);
    assert!(code == 2 && text.contains("rewrite them with `cxbackfill upgrade`"), "{text}");
    let refused = Snapshot::read(&output.join(LEDGER)).unwrap();
    let (code, text) = execute(folder.path(), &["upgrade", "--dry-run"], &JOB);
    assert!(code == 0 && text.contains("from version 1 to 2") && text.contains("dry"), "{text}");
    let unchanged = Snapshot::read(&output.join(LEDGER)).unwrap();
    assert_eq!(unchanged.identity, refused.identity);
    expect_old(&output);

    let (code, text) = execute(folder.path(), &["upgrade"], &JOB);
    assert!(code == 0 && text.contains("conversations: 2 files, 2 rows"), "{text}");
    assert!(text.ends_with("rewrote 4 files\n"), "{text}");
    expect_same_rows(MILLISECONDS, &output);
    expect_agreement(folder.path(), &JOB);
    let after = Snapshot::read(&output.join(LEDGER)).unwrap();
    for (name, records) in &before.datasets {
        for (old, new) in records.shards.iter().zip(&after.datasets[name].shards) {
            assert_eq!((old.interval, old.counts), (new.interval, new.counts));
            assert_eq!(old.open_rows, new.open_rows);
            assert_ne!(old.commit_id, new.commit_id);
        }
    }
    assert_eq!(after.leftovers.len(), 0);
    assert!(!has_staged_files(&output));
    expect_footers(&output);

    // the files alone tell the same
    fs::remove_file(output.join(LEDGER)).unwrap();
    let (code, text) = execute(folder.path(), &["rebuild"], &JOB);
    assert!(code == 0 && text.contains("4 commits, 4 files"), "{text}");
    expect_agreement(folder.path(), &JOB);
    let (code, text) = execute(folder.path(), &["upgrade"], &JOB);
    assert!(code == 0 && text.contains("all files are as they should be"), "{text}");
}

/// Checks that the files are still those of the fixture.
fn expect_old(output: &Path) {
    for path in files(output) {
        let old = fs::read(Path::new(MILLISECONDS).join(&path)).unwrap();
        assert!(fs::read(output.join(&path)).unwrap() == old, "{path:?} changed");
    }
}

fn has_staged_files(output: &Path) -> bool {
    fs::read_dir(output.join("_staging")).is_ok_and(|mut files| files.next().is_some())
}

/// Checks who wrote the files, and that those in order of time say so.
fn expect_footers(output: &Path) {
    for path in files(output) {
        let reader =
            ParquetRecordBatchReaderBuilder::try_new(File::open(output.join(&path)).unwrap());
        let metadata = reader.unwrap().metadata().clone();
        let writer = metadata.file_metadata().created_by().unwrap();
        assert!(writer.starts_with("cxbackfill version "), "{writer}");
        let old = File::open(Path::new(MILLISECONDS).join(&path)).unwrap();
        let old = ParquetRecordBatchReaderBuilder::try_new(old).unwrap();
        let is_sorted = |metadata: &parquet::file::metadata::ParquetMetaData| {
            metadata.row_groups().iter().all(|group| group.sorting_columns().is_some())
        };
        assert_eq!(is_sorted(&metadata), is_sorted(old.metadata()), "{path:?}");
    }
}

#[test]
fn one_dataset_can_be_upgraded_and_others_are_left_alone() {
    let folder = old_output();
    let (code, text) = execute(folder.path(), &["upgrade", "--dataset", "calls"], &JOB);
    let known = "the output has no dataset `calls`: it has audits, conversations";
    assert!(code == 2 && text.contains(known), "{text}");
    let (code, text) = execute(folder.path(), &["upgrade", "--dataset", "audits"], &JOB);
    assert!(code == 0 && !text.contains("conversations"), "{text}");
    let (code, text) = execute(folder.path(), &["verify"], &JOB);
    assert!(code == 0 && text.ends_with("all as the ledger says\n"), "{text}");
    let audits = [r#"job.datasets=["audits"]"#, JOB[1], JOB[2]];
    expect_agreement(folder.path(), &audits);
    let (code, text) = execute(folder.path(), &["run"], &JOB);
    assert!(code == 2 && text.contains("the files of `conversations`"), "{text}");

    // a catalog that has neither of the two
    let other = ["source.platform=nice-cxone", r#"job.datasets=["teams"]"#];
    let (code, text) = execute(folder.path(), &["upgrade"], &other);
    let alone = "conversations: left alone, since the catalog has no such dataset";
    assert!(code == 0 && text.contains(alone), "{text}");
}

/// Writes a catalog with the built-in datasets of Genesys Cloud and this change.
fn catalog(folder: &Path, from: &str, to: &str) -> String {
    let builtin = fs::read_to_string("src/catalog/genesys.toml").unwrap();
    assert!(builtin.contains(from));
    let path = folder.join("catalog.toml");
    fs::write(&path, builtin.replace(from, to)).unwrap();
    format!("source.catalog={}", path.display())
}

#[test]
fn a_changed_timezone_is_refused_with_what_to_do() {
    let folder = old_output();
    let (code, text) = execute(folder.path(), &["upgrade"], &JOB);
    assert_eq!(code, 0, "{text}");
    let settings = [JOB[0], JOB[1], JOB[2], "source.timezone=Europe/Berlin"];
    for command in ["run", "plan"] {
        let (code, text) = execute(folder.path(), &[command], &settings);
        let reason = "this output was written with timezone = UTC, and now it is Europe/Berlin: \
            rows of both would mix; set it to UTC again, or choose another output.path";
        assert!(code == 2 && text.contains(reason), "{command}: {text}");
    }
    expect_agreement(folder.path(), &JOB);
}

#[test]
fn changed_columns_of_the_job_are_refused_by_a_dry_upgrade_too() {
    let folder = old_output();
    for command in [&["upgrade", "--dry-run"][..], &["upgrade"]] {
        let settings = [JOB[0], JOB[1], JOB[2], "fetch.attributes=true"];
        let (code, text) = execute(folder.path(), command, &settings);
        assert!(code == 2 && text.contains("written with attributes = false"), "{text}");
    }
    expect_old(&folder.path().join("out"));
}

#[test]
fn files_of_the_same_version_that_an_earlier_program_wrote_are_upgraded() {
    let folder = old_output();
    let catalog = catalog(folder.path(), "version    = 2", "version    = 1");
    let settings = [JOB[0], JOB[1], JOB[2], &catalog];
    let (code, text) = execute(folder.path(), &["verify"], &settings);
    assert!(code == 0 && text.ends_with("all as the ledger says\n"), "{text}");
    let conversations = [r#"job.datasets=["conversations"]"#, JOB[1], JOB[2], &catalog];
    let (code, text) = execute(folder.path(), &["run"], &conversations);
    assert!(code == 2 && text.contains("rewrite them with `cxbackfill upgrade`"), "{text}");
    let (code, text) = execute(folder.path(), &["upgrade"], &settings);
    assert!(code == 0 && text.contains("from version 1 to 1"), "{text}");
    expect_agreement(folder.path(), &conversations);
    expect_same_rows(MILLISECONDS, &folder.path().join("out"));
}

#[test]
fn a_column_that_is_gone_or_has_another_type_is_refused_by_name_before_anything_is_written() {
    let folder = old_output();
    let old = "originatingDirection             = \"string\"";
    let catalog = catalog(folder.path(), old, "originatingDirection = \"int64\"");
    let settings = [JOB[0], JOB[1], JOB[2], &catalog];
    for command in [&["upgrade", "--dry-run"][..], &["upgrade"]] {
        let (code, text) = execute(folder.path(), command, &settings);
        assert_eq!(code, 2, "{text}");
        for part in [
            "the files of `conversations`, of version 1",
            "`originatingDirection` is Int64 and was Utf8",
            "choose another output.path",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }
    expect_old(&folder.path().join("out"));
}

#[test]
fn a_damaged_file_is_refused_and_its_shard_stays_as_it_was() {
    let folder = old_output();
    let output = folder.path().join("out");
    let path = files(&output).pop().unwrap();
    let mut content = fs::read(output.join(&path)).unwrap();
    content[100] ^= 1;
    fs::write(output.join(&path), &content).unwrap();
    let (code, text) = execute(folder.path(), &["upgrade"], &JOB);
    assert!(code == 2 && text.contains("its checksum is another one"), "{text}");
    assert!(text.contains(path.to_str().unwrap()) && text.contains("rebuild"), "{text}");
    assert!(fs::read(output.join(&path)).unwrap() == content);
    // the others are whole, and what the message says helps
    let (code, text) = execute(folder.path(), &["rebuild"], &JOB);
    assert!(code == 1 || code == 0, "{text}");
}

#[test]
fn an_output_with_a_ledger_of_version_1_is_upgraded() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("out");
    copy(Path::new(LEDGER_1), &output);
    let audits = [
        r#"job.datasets=["audits"]"#,
        "job.to=2024-01-03T00:00:00Z",
        "sandbox.conversations_per_day=5",
    ];
    let (code, text) = execute(folder.path(), &["upgrade"], &audits);
    assert!(code == 0 && text.ends_with("rewrote 2 files\n"), "{text}");
    expect_same_rows(LEDGER_1, &output);
    expect_agreement(folder.path(), &audits);
}

#[cfg(target_os = "linux")]
#[test]
fn g8_an_upgrade_of_many_rows_takes_little_memory() {
    let Some(python) = python() else { return };
    let rows = std::env::var("ROWS").unwrap_or("500000".to_owned());
    let folder = calls(python, &rows);
    let path = folder.path().join("calls.toml");
    let catalog = fs::read_to_string(&path).unwrap().replace("version = 1", "version = 2");
    fs::write(path, catalog.replace("score = 'double'", "score = 'double'\nnote = 'string'"))
        .unwrap();
    let mut child = program(folder.path(), &["upgrade"]).stdout(Stdio::null()).spawn().unwrap();
    let peak = peak_memory(&mut child);
    assert!(child.wait().unwrap().success());
    println!("{rows} rows, at most {} MB", peak / 1_000_000);
    assert!(peak < 75_000_000, "{} MB", peak / 1_000_000);
    let verified = program(folder.path(), &["verify"]).output().unwrap();
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stdout));
}

#[test]
fn an_older_output_is_read_as_one_of_nested_rows_and_its_times_in_their_unit() {
    let folder = old_output();
    let (code, text) = execute(folder.path(), &["views", "--dialect", "duckdb"], &JOB);
    assert!(code == 0 && text.contains("VIEW \"conversations_rows\""), "{text}");
    let export = |condition: &str| {
        let of =
            ["export", "--format", "ndjson", "--dataset", "conversations", "--where", condition];
        let (code, text) = execute(folder.path(), &of, &JOB);
        assert_eq!(code, 0, "{text}");
        text.lines().count()
    };
    let all = export("conversationStart >= 2024-01-01");
    assert!(all > 0);
    assert_eq!(export("conversationStart < 2024-01-01"), 0);
    let of_days =
        ["< 2024-01-02", ">= 2024-01-02"].map(|day| export(&format!("conversationStart {day}")));
    assert_eq!(of_days.iter().sum::<usize>(), all);
    assert!(of_days.iter().all(|rows| *rows > 0), "{of_days:?}");
}
