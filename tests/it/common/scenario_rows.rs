//! The rows that the output of a scenario has, and those that it must have.

use std::collections::{BTreeMap, HashSet};

use arrow::{
    array::{Array, AsArray},
    record_batch::RecordBatch,
};
use bytes::Bytes;
use cxbackfill::testing::{Config, Decoder, Ledger, PageParser, Region, Settings};
use futures_util::TryStreamExt;
use object_store::{ObjectStore, ObjectStoreExt, memory::InMemory};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::Value;
use tokio::runtime::Builder;

use super::{conservation, flat_tables, scenario::Scenario};

/// Rows by id, each as a batch of one row, so that they compare by all fields.
pub type Rows = BTreeMap<String, RecordBatch>;

/// What the recorded files have.
#[derive(Default)]
pub struct Found {
    pub nested: Rows,
    /// The rows of the table that has one for each row of the dataset.
    pub root: Rows,
    /// The number of rows by table and id.
    pub elements: flat_tables::Elements,
}

/// The rows of every recorded file; files that the ledger does not name and rows that occur twice.
pub fn read(store: &InMemory, ledger: &Ledger) -> (Found, Vec<String>) {
    let runtime = Builder::new_current_thread().build().unwrap();
    let recorded: HashSet<String> = ledger.file_paths().unwrap();
    let (mut rows, mut strays) = (Found::default(), Vec::new());
    let found: Vec<_> = runtime.block_on(async {
        store.list(None).map_ok(|object| object.location).try_collect().await.unwrap()
    });
    strays.extend(found.iter().map(ToString::to_string).filter(|path| !recorded.contains(path)));
    for path in found.iter().filter(|path| path.as_ref().ends_with(".parquet")) {
        let content =
            runtime.block_on(async { store.get(path).await.unwrap().bytes().await.unwrap() });
        for batch in ParquetRecordBatchReaderBuilder::try_new(content).unwrap().build().unwrap() {
            let folder = path.as_ref().split("/date=").next().unwrap();
            for (id, row) in by_id(&batch.unwrap()) {
                let table = folder.strip_prefix("conversations.tables/");
                if let Some(table) = table {
                    *rows.elements.entry((table.to_owned(), id.clone())).or_default() += 1;
                }
                let other = match table {
                    None => rows.nested.insert(id.clone(), row),
                    Some("conversations") => rows.root.insert(id.clone(), row),
                    Some(_) => None,
                };
                if other.is_some() {
                    strays.push(format!("{id} twice in {folder}"));
                }
            }
        }
    }
    (rows, strays)
}

/// Whether a row has values that fit no column.
pub fn has_extra(row: &RecordBatch) -> bool {
    row.column_by_name("_extra").is_some_and(|extra| extra.is_valid(0))
}

/// The values of drifted rows that are neither in a column nor in `_extra`, or that are made up.
pub fn lost_values(
    scenario: &Scenario,
    config: &Config,
    region: &Region,
    rows: &Rows,
) -> Vec<String> {
    if !scenario.sandbox.drift {
        return Vec::new();
    }
    let undrifted = Region::new(Settings { drift: false, ..scenario.sandbox.clone() });
    let [drifted, plain] = [region, &undrifted].map(|region| {
        let lines = lines(scenario, config, region);
        let mut rows = BTreeMap::new();
        for line in lines.lines() {
            let row: Value = serde_json::from_str(line).unwrap();
            rows.insert(row["conversationId"].as_str().unwrap().to_owned(), row);
        }
        rows
    });
    let mut lost = Vec::new();
    for (id, row) in rows {
        let (Some(drifted), Some(plain)) = (drifted.get(id), plain.get(id)) else { continue };
        let found = conservation::violations(row, drifted, plain);
        lost.extend(found.into_iter().map(|violation| format!("{id} {violation}")));
    }
    lost
}

/// The rows that the output must have, as NDJSON.
fn lines(scenario: &Scenario, config: &Config, region: &Region) -> String {
    let interval = config.interval.from_ms()..config.interval.to_ms();
    let lines = region.truth_of("genesys-cloud", scenario.truth(), interval).unwrap();
    String::from_utf8(lines.collect::<Vec<Bytes>>().concat()).unwrap()
}

/// The rows that the output must have.
pub fn truth(scenario: &Scenario, config: &Config, region: &Region) -> Rows {
    let text = lines(scenario, config, region);
    let page = format!("{{\"conversations\":[{}]}}", text.lines().collect::<Vec<_>>().join(","));
    let dataset = &config.datasets[0];
    let reply = PageParser::new(dataset.endpoint(), Vec::new()).find(page.into()).unwrap();
    let page = Decoder::new(dataset).decode(&reply, config.interval).unwrap();
    assert_eq!((page.bad.len(), page.not_owned), (0, 0));
    by_id(&page.batch).collect()
}

/// The rows of a batch by id.
fn by_id(batch: &RecordBatch) -> impl Iterator<Item = (String, RecordBatch)> {
    let ids = batch.column_by_name("conversationId").unwrap().as_string::<i32>();
    (0..batch.num_rows()).map(move |row| (ids.value(row).to_owned(), batch.slice(row, 1)))
}
