//! Whether an id is there twice, within a file or across the files of a dataset.
//!
//! Ownership makes that unlikely: shards are disjoint, so an id in two of them has two times. That
//! is no proof, so all ids are compared, by their hash. At most [`HELD`] are held at once: where
//! there are more rows, the column is read several times, and each pass compares its share of the
//! hashes (G8). A hundred million rows take twenty passes over 4 GB, and no disk.

use std::{collections::BTreeMap, fs::File};

use arrow::datatypes::DataType;
use parquet::{
    arrow::{ProjectionMask, arrow_reader::ParquetRecordBatchReaderBuilder},
    errors::ParquetError,
};
use xxhash_rust::xxh3::xxh3_128;

use crate::{
    blocking::offload,
    catalog::Dataset,
    commands::verify::{Difference, open, unreadable},
    decode::RowKeyColumns,
    ledger::FileRecord,
    sink::store::OutputStore,
};

/// Ids that are compared in one pass: 20 bytes of each, so 100 MB.
pub(crate) const HELD: u64 = 5_000_000;

/// The hash of an id, and the number of the file that holds it. Bytes, since a `u128` would be
/// padded to 32 of them.
type Seen = ([u8; 16], u32);

/// The ids that are there twice: a difference for each pair of files. `files` are as the ledger
/// says; at most about `held` ids are compared at once.
pub(crate) async fn twice(
    output: &OutputStore,
    dataset: &Dataset,
    files: &[FileRecord],
    held: u64,
) -> Vec<Difference> {
    let rows: u64 = files.iter().map(|file| file.rows).sum();
    let passes = rows.div_ceil(held).max(1);
    // hashes spread evenly: no share is much larger than another
    let share = usize::try_from(rows / passes).unwrap_or(0) * 101 / 100;
    let mut differences = Vec::new();
    for pass in 0..passes {
        let wanted = move |hash| hash % u128::from(passes) == u128::from(pass);
        differences
            .extend(pass_over(output, dataset, files, Vec::with_capacity(share), wanted).await);
    }
    differences
}

/// The same for the ids whose hash is `wanted`; `seen` is empty, with room for them.
async fn pass_over(
    output: &OutputStore,
    dataset: &Dataset,
    files: &[FileRecord],
    mut seen: Vec<Seen>,
    wanted: impl Fn(u128) -> bool + Copy + Send + 'static,
) -> Vec<Difference> {
    let mut differences = Vec::new();
    for (number, file) in (0..).zip(files) {
        let columns = dataset.key();
        let read = match open(output, &file.path).await {
            Ok(content) => {
                let mut more = seen;
                let (all, read) = offload(move || {
                    let read = each(content, &columns, |id| {
                        let hash = xxh3_128(id.as_bytes());
                        if wanted(hash) {
                            more.push((hash.to_be_bytes(), number));
                        }
                    });
                    (more, read.map_err(|error| unreadable(&error)))
                })
                .await;
                seen = all;
                read
            }
            Err(what) => Err(what),
        };
        differences.extend(read.err().map(|what| Difference { place: file.path.clone(), what }));
    }
    let pairs = offload(move || pairs(seen)).await;
    for ((left, right), (hash, more)) in pairs {
        let (left, right) = (&files[left as usize], &files[right as usize]);
        let id = name(output, &dataset.key(), left, hash).await;
        let others =
            if more > 1 { format!(" and {} other ids are", more - 1) } else { " is".to_owned() };
        let place =
            if left.path == right.path { "there".to_owned() } else { format!("in {}", right.path) };
        let what = format!("{id}{others} {place} once more");
        differences.push(Difference { place: left.path.clone(), what });
    }
    differences
}

/// The pairs of files with ids in common: one of them, and how many.
fn pairs(mut seen: Vec<Seen>) -> BTreeMap<(u32, u32), ([u8; 16], u64)> {
    seen.sort_unstable();
    let mut pairs = BTreeMap::new();
    for pair in seen.windows(2).filter(|pair| pair[0].0 == pair[1].0) {
        pairs.entry((pair[0].1, pair[1].1)).or_insert((pair[0].0, 0)).1 += 1;
    }
    pairs
}

/// The text of the id with this hash.
async fn name(
    output: &OutputStore,
    columns: &[String],
    file: &FileRecord,
    hash: [u8; 16],
) -> String {
    let (mut name, columns) = (None, columns.to_vec());
    let Ok(content) = open(output, &file.path).await else { return "an id".to_owned() };
    let name = offload(move || {
        let read = each(content, &columns, |id| {
            if xxh3_128(id.as_bytes()).to_be_bytes() == hash {
                name.get_or_insert_with(|| id.to_owned());
            }
        });
        read.ok().and(name)
    });
    name.await.unwrap_or_else(|| "an id".to_owned())
}

/// Calls `with` for the id of each row.
fn each(content: File, columns: &[String], mut with: impl FnMut(&str)) -> Result<(), ParquetError> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(content)?;
    let mask = ProjectionMask::columns(reader.parquet_schema(), columns.iter().map(String::as_str));
    for batch in reader.with_projection(mask).build()? {
        let batch = batch?;
        let place = |column: &String| batch.schema_ref().index_of(column);
        let places = columns.iter().map(place).collect::<Result<Vec<_>, _>>()?;
        let fit = |&place: &usize| {
            matches!(batch.column(place).data_type(), DataType::Utf8 | DataType::Int64)
        };
        if places.len() == 1 && !places.iter().all(fit) {
            return Err(ParquetError::General(format!("the column `{}` holds no ids", columns[0])));
        }
        let ids = RowKeyColumns::new(&batch, &places)?;
        (0..batch.num_rows()).for_each(|row| with(&ids.text(row)));
    }
    Ok(())
}
