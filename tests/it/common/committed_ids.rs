//! Watches what a reader that follows the ledger finds: every committed id, exactly once.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use arrow::array::AsArray;
use bytes::Bytes;
use cxbackfill::testing::Ledger;
use futures_util::FutureExt;
use object_store::{ObjectStoreExt, memory::InMemory, path::Path};
use parquet::arrow::{ProjectionMask, arrow_reader::ParquetRecordBatchReaderBuilder};

/// The ids that the ledger names, since the last check.
pub struct CommittedIds {
    memory: Arc<InMemory>,
    ledger: Ledger,
    /// The ids in each file, by its path and the store's tag of its content.
    files: HashMap<(String, Option<String>), Arc<Vec<String>>>,
    committed: BTreeSet<String>,
    violations: BTreeSet<String>,
}

impl CommittedIds {
    pub fn new(memory: Arc<InMemory>, ledger: Ledger) -> Self {
        let (files, committed) = (HashMap::new(), BTreeSet::new());
        Self { memory, ledger, files, committed, violations: BTreeSet::new() }
    }

    /// Compares what the ledger names now with what it named before.
    pub fn check(&mut self, when: &str) {
        let mut by_folder = BTreeMap::<&str, BTreeSet<String>>::new();
        for path in self.ledger.file_paths().unwrap() {
            // those that have every row: nested, or as the table of that name
            let is_in = |folder: &&&str| path.starts_with(&format!("{folder}/date="));
            let folders = ["conversations", "conversations.tables/conversations"];
            let Some(folder) = folders.iter().find(is_in) else { continue };
            let ids = by_folder.entry(folder).or_default();
            let Some(file) = self.file(&path) else {
                self.violations.insert(format!("{when}: {path} is recorded and missing"));
                continue;
            };
            for id in file.iter() {
                if !ids.insert(id.clone()) {
                    self.violations.insert(format!("{when}: {id} is committed twice"));
                }
            }
        }
        let mut by_folder = by_folder.into_values();
        let ids = by_folder.next().unwrap_or_default();
        // files that a refresh replaces take their names one after the other
        let is_replaced = !self.ledger.stale("conversations").unwrap().is_empty();
        if by_folder.next().is_some_and(|others| others != ids) && !is_replaced {
            self.violations.insert(format!("{when}: the nested rows and the table differ"));
        }
        for id in self.committed.difference(&ids) {
            self.violations.insert(format!("{when}: {id} was committed and is missing"));
        }
        self.committed = ids;
    }

    pub fn violations(&self) -> Vec<String> {
        self.violations.iter().cloned().collect()
    }

    fn file(&mut self, path: &str) -> Option<Arc<Vec<String>>> {
        // a store in memory answers at once
        let found = self.memory.get(&Path::from(path)).now_or_never().unwrap().ok()?;
        let key = (path.to_owned(), found.meta.e_tag.clone());
        if let Some(ids) = self.files.get(&key) {
            return Some(Arc::clone(ids));
        }
        let ids = Arc::new(ids(found.bytes().now_or_never().unwrap().unwrap()));
        self.files.insert(key, Arc::clone(&ids));
        Some(ids)
    }
}

/// The ids in a file.
fn ids(content: Bytes) -> Vec<String> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(content).unwrap();
    let mask = ProjectionMask::columns(reader.parquet_schema(), ["conversationId"]);
    let mut ids = Vec::new();
    for batch in reader.with_projection(mask).build().unwrap() {
        let batch = batch.unwrap();
        let column = batch.column(0).as_string::<i32>();
        ids.extend(column.iter().map(|id| id.unwrap().to_owned()));
    }
    ids
}
