//! What is in the files of an output, and which of them the ledger names.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::Path,
};

use arrow::{array::AsArray, record_batch::RecordBatch};
use cxbackfill::testing::{LEDGER, Snapshot};
use parquet::arrow::{ProjectionMask, arrow_reader::ParquetRecordBatchReaderBuilder};

/// Rows by id, each as a batch of one row.
pub type Rows = BTreeMap<String, RecordBatch>;

/// Every row of every file.
pub fn rows(output: &Path) -> Rows {
    let mut rows = Rows::new();
    for file in files(output).into_iter().filter(|file| file.ends_with(".parquet")) {
        let file = fs::File::open(output.join(file)).unwrap();
        for batch in ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap() {
            let batch = batch.unwrap();
            let ids = batch.column_by_name("conversationId").unwrap().as_string::<i32>();
            for (row, id) in ids.iter().enumerate() {
                let doubled = rows.insert(id.unwrap().to_owned(), batch.slice(row, 1));
                assert!(doubled.is_none(), "{id:?} is there twice");
            }
        }
    }
    rows
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
        let paths = || -> Vec<String> {
            let snapshot = Snapshot::read(&output.join(LEDGER)).unwrap();
            snapshot.paths().map(str::to_owned).collect()
        };
        let before = paths();
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
        assert_ne!(paths(), before, "a file that the ledger names is missing");
    }
}

pub fn ids_in(file: fs::File) -> Vec<String> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
    let mask = ProjectionMask::columns(reader.parquet_schema(), ["conversationId"]);
    let mut ids = Vec::new();
    for batch in reader.with_projection(mask).build().unwrap() {
        let batch = batch.unwrap();
        ids.extend(batch.column(0).as_string::<i32>().iter().map(|id| id.unwrap().to_owned()));
    }
    ids
}
