//! What is in the files of an output of conversations, and which of them the ledger names.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::Path,
};

use arrow::{array::AsArray, compute::concat_batches, record_batch::RecordBatch};
use cxbackfill::testing::{LEDGER, Snapshot};
use parquet::arrow::{ProjectionMask, arrow_reader::ParquetRecordBatchReaderBuilder};

/// The rows of each conversation in a file: one nested row, or those of a table in their order.
pub type Rows = BTreeMap<String, RecordBatch>;

/// The folder of nested rows.
pub const NESTED: &str = "conversations";

/// The rows of each folder, that of nested rows or of a table. Every conversation is in one file of
/// a folder.
pub fn rows_by_folder(output: &Path) -> BTreeMap<String, Rows> {
    merged(rows_of(output, files(output)))
}

/// The nested rows.
pub fn rows(output: &Path) -> Rows {
    let nested = files(output).into_iter().filter(|file| folder(file) == NESTED).collect();
    merged(rows_of(output, nested)).remove(NESTED).unwrap_or_default()
}

/// The folder of a file, without that of its day.
pub fn folder(file: &str) -> &str {
    file.split("/date=").next().unwrap()
}

/// The rows of files by folder.
pub fn merged(files: BTreeMap<String, Rows>) -> BTreeMap<String, Rows> {
    let mut folders = BTreeMap::<String, Rows>::new();
    for (file, rows) in files {
        let found = folders.entry(folder(&file).to_owned()).or_default();
        for (id, rows) in rows {
            assert!(found.insert(id.clone(), rows).is_none(), "{id} is there twice: {file}");
        }
    }
    folders
}

/// The rows of each file that the ledger names.
pub fn committed_rows(output: &Path) -> BTreeMap<String, Rows> {
    rows_of(output, paths(output))
}

fn paths(output: &Path) -> Vec<String> {
    Snapshot::read(&output.join(LEDGER)).unwrap().paths().map(str::to_owned).collect()
}

/// The rows of those of the files that are Parquet files.
fn rows_of(output: &Path, files: Vec<String>) -> BTreeMap<String, Rows> {
    let parquet = files.into_iter().filter(|file| file.ends_with(".parquet"));
    parquet.map(|file| (file.clone(), rows_in(&output.join(file)))).collect()
}

fn rows_in(file: &Path) -> Rows {
    let reader = ParquetRecordBatchReaderBuilder::try_new(fs::File::open(file).unwrap()).unwrap();
    let mut parts = BTreeMap::<String, Vec<RecordBatch>>::new();
    for batch in reader.build().unwrap() {
        let batch = batch.unwrap();
        let ids = batch.column_by_name("conversationId").unwrap().as_string::<i32>();
        for (row, id) in ids.iter().enumerate() {
            parts.entry(id.unwrap().to_owned()).or_default().push(batch.slice(row, 1));
        }
    }
    let is_nested = file.components().any(|folder| folder.as_os_str() == NESTED)
        && !file.to_str().unwrap().contains(".tables/");
    let joined = |(id, parts): (String, Vec<RecordBatch>)| {
        assert!(!is_nested || parts.len() == 1, "{id} is there twice");
        (id, concat_batches(&parts[0].schema(), &parts).unwrap())
    };
    parts.into_iter().map(joined).collect()
}

/// The path of every file below a folder, partial ones included.
pub fn files(root: &Path) -> Vec<String> {
    let (mut folders, mut files) = (vec![root.to_owned()], Vec::new());
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path()) {
            match path.is_dir() {
                true => folders.push(path),
                false => files.push(path.strip_prefix(root).unwrap().to_str().unwrap().to_owned()),
            }
        }
    }
    files
}

/// The ids in the files that the ledger names. It is read again if it has changed meanwhile.
pub fn committed_ids(output: &Path) -> BTreeSet<String> {
    loop {
        let before = paths(output);
        let mut ids = BTreeSet::new();
        let complete = before.iter().all(|path| match fs::File::open(output.join(path)) {
            Ok(file) => {
                for id in ids_in(file) {
                    assert!(ids.insert(id.clone()), "{id} is committed twice");
                }
                true
            }
            Err(error) => {
                assert_eq!(error.kind(), io::ErrorKind::NotFound, "{path}: {error}");
                false
            }
        });
        if complete {
            return ids;
        }
        assert_ne!(paths(output), before, "a file that the ledger names is missing");
    }
}

fn ids_in(file: fs::File) -> Vec<String> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
    let mask = ProjectionMask::columns(reader.parquet_schema(), ["conversationId"]);
    let mut ids = Vec::new();
    for batch in reader.with_projection(mask).build().unwrap() {
        let batch = batch.unwrap();
        ids.extend(batch.column(0).as_string::<i32>().iter().map(|id| id.unwrap().to_owned()));
    }
    ids
}
