//! Whether an id occurs twice, within a file or in two files of a dataset.
//!
//! Ownership makes that unlikely: shards are disjoint, so an id in two of them has two times. To
//! prove it, all ids are compared by their hash. At most [`MAX_IDS`] are in memory at once: if
//! there are more rows, the columns are read several times, and each pass compares its share of the
//! hashes (G8). A hundred million rows take twenty passes over 4 GB, and no disk space.

use std::{collections::BTreeMap, fs::File};

use arrow::datatypes::DataType;
use parquet::{
    arrow::{ProjectionMask, arrow_reader::ParquetRecordBatchReaderBuilder},
    errors::ParquetError,
};
use xxhash_rust::xxh3::xxh3_128;

use crate::{
    catalog::Dataset,
    commands::verify::{Difference, open, unreadable},
    decode::RowKeyColumns,
    ledger::FileRecord,
    server_text::ServerText,
    sink::store::OutputStore,
    system::blocking::offload,
};

/// Ids that are compared in one pass. Each takes 20 bytes, so a pass takes 100 MB.
pub(crate) const MAX_IDS: u64 = 5_000_000;

/// The hash of an id, and the index of its file. An array of bytes, because a `u128` would be
/// padded to 32 bytes with the index.
type HashedId = ([u8; 16], u32);

/// The ids that occur twice: one difference for each pair of files. About `max_ids` ids are
/// compared at once.
pub(crate) async fn duplicates(
    output: &OutputStore,
    dataset: &Dataset,
    files: &[FileRecord],
    max_ids: u64,
) -> Vec<Difference> {
    let rows: u64 = files.iter().map(|file| file.rows).sum();
    let passes = rows.div_ceil(max_ids).max(1);
    // hashes are evenly distributed, so no pass gets many more than its share
    let capacity = usize::try_from(rows / passes).unwrap_or(0) * 101 / 100;
    let mut differences = Vec::new();
    for pass in 0..passes {
        let is_selected = move |hash| hash % u128::from(passes) == u128::from(pass);
        let ids = Vec::with_capacity(capacity);
        differences.extend(compare(output, dataset, files, ids, is_selected).await);
    }
    differences
}

/// Compares the ids whose hash is selected. `ids` is empty, with room for them.
async fn compare(
    output: &OutputStore,
    dataset: &Dataset,
    files: &[FileRecord],
    mut ids: Vec<HashedId>,
    is_selected: impl Fn(u128) -> bool + Copy + Send + 'static,
) -> Vec<Difference> {
    let mut differences = Vec::new();
    for (index, file) in (0..).zip(files) {
        let columns = dataset.key();
        let result = match open(output, &file.path).await {
            Ok(content) => {
                let (extended, result) = offload(move || {
                    let result = for_each_id(content, &columns, |id| {
                        let hash = xxh3_128(id.as_bytes());
                        if is_selected(hash) {
                            ids.push((hash.to_be_bytes(), index));
                        }
                    });
                    (ids, result.map_err(|error| unreadable(&error)))
                })
                .await;
                ids = extended;
                result
            }
            Err(what) => Err(what),
        };
        if let Err(what) = result {
            differences.push(Difference { subject: file.path.clone(), what });
        }
    }
    let pairs = offload(move || file_pairs(ids)).await;
    for ((first, second), (hash, count)) in pairs {
        let (first, second) = (&files[first as usize], &files[second as usize]);
        let id = find_id(output, &dataset.key(), first, hash).await;
        let others =
            if count > 1 { format!(" and {} other ids are", count - 1) } else { " is".to_owned() };
        let place = match first.path == second.path {
            true => "there".to_owned(),
            false => format!("in {}", second.path),
        };
        let what = format!("{id}{others} {place} once more");
        differences.push(Difference { subject: first.path.clone(), what });
    }
    differences
}

/// The pairs of files that have ids in common: the hash of one of these, and how many there are.
fn file_pairs(mut ids: Vec<HashedId>) -> BTreeMap<(u32, u32), ([u8; 16], u64)> {
    ids.sort_unstable();
    let mut pairs = BTreeMap::new();
    for pair in ids.windows(2) {
        let ((first_hash, first_file), (second_hash, second_file)) = (pair[0], pair[1]);
        if first_hash == second_hash {
            pairs.entry((first_file, second_file)).or_insert((first_hash, 0)).1 += 1;
        }
    }
    pairs
}

/// The id with this hash in a file, for a message.
async fn find_id(
    output: &OutputStore,
    columns: &[String],
    file: &FileRecord,
    hash: [u8; 16],
) -> String {
    const UNKNOWN: &str = "an id";
    let Ok(content) = open(output, &file.path).await else { return UNKNOWN.to_owned() };
    let columns = columns.to_vec();
    let found = offload(move || {
        let mut found = None;
        let result = for_each_id(content, &columns, |id| {
            if xxh3_128(id.as_bytes()).to_be_bytes() == hash {
                found.get_or_insert_with(|| id.to_owned());
            }
        });
        result.ok().and(found)
    });
    found.await.map_or_else(|| UNKNOWN.to_owned(), |id| ServerText::quote(&id).to_string())
}

/// Calls `visit` with the id of each row.
fn for_each_id(
    content: File,
    columns: &[String],
    mut visit: impl FnMut(&str),
) -> Result<(), ParquetError> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(content)?;
    let mask = ProjectionMask::columns(reader.parquet_schema(), columns.iter().map(String::as_str));
    for batch in reader.with_projection(mask).build()? {
        let batch = batch?;
        let index_of = |column: &String| batch.schema_ref().index_of(column);
        let indices = columns.iter().map(index_of).collect::<Result<Vec<_>, _>>()?;
        let is_id = |&index: &usize| {
            matches!(batch.column(index).data_type(), DataType::Utf8 | DataType::Int64)
        };
        if indices.len() == 1 && !indices.iter().all(is_id) {
            let column = &columns[0];
            return Err(ParquetError::General(format!("the column `{column}` does not hold ids")));
        }
        let ids = RowKeyColumns::new(&batch, &indices)?;
        for row in 0..batch.num_rows() {
            visit(&ids.text(row));
        }
    }
    Ok(())
}
