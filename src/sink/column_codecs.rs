//! Chooses the columns of a file that are compressed.
//!
//! The encoder keeps a compressor and a decompressor for every compressed column of an open row
//! group: about 300 KiB each with zstd, and most of the time of a small file. So only those columns
//! are compressed that have enough bytes.

use arrow::{
    array::{Array, ArrayRef, AsArray},
    datatypes::DataType,
    record_batch::RecordBatch,
};

/// A column with fewer bytes in the first rows of its file is not compressed.
const SMALLEST_COMPRESSED_BYTES: usize = 32 << 10;

/// Whether each leaf column is to be compressed, by the first rows of a file, in the order of a
/// Parquet schema.
pub(super) fn compressed_leaves(batches: &[RecordBatch]) -> Vec<bool> {
    let mut sums: Vec<usize> = Vec::new();
    for batch in batches {
        let mut bytes = Vec::with_capacity(sums.len());
        for column in batch.columns() {
            push_leaf_bytes(column, &mut bytes);
        }
        sums.resize(bytes.len(), 0);
        for (sum, bytes) in sums.iter_mut().zip(bytes) {
            *sum += bytes;
        }
    }
    sums.into_iter().map(|bytes| bytes >= SMALLEST_COMPRESSED_BYTES).collect()
}

/// Appends the bytes of the values of every leaf of a column, depth first.
fn push_leaf_bytes(array: &ArrayRef, bytes: &mut Vec<usize>) {
    match array.data_type() {
        DataType::Struct(_) => {
            for column in array.as_struct().columns() {
                push_leaf_bytes(column, bytes);
            }
        }
        DataType::List(_) => {
            let list = array.as_list::<i32>();
            let (from, to) = ends(list.value_offsets());
            push_leaf_bytes(&list.values().slice(from, to - from), bytes);
        }
        DataType::Map(..) => {
            let map = array.as_map();
            let (from, to) = ends(map.value_offsets());
            push_leaf_bytes(&map.keys().slice(from, to - from), bytes);
            push_leaf_bytes(&map.values().slice(from, to - from), bytes);
        }
        DataType::Utf8 => {
            let (from, to) = ends(array.as_string::<i32>().value_offsets());
            bytes.push(to - from);
        }
        other => {
            let present = array.len() - array.null_count();
            bytes.push(other.primitive_width().map_or(present / 8, |width| width * present));
        }
    }
}

/// The first and the last of the offsets of a list or a string column.
fn ends(offsets: &[i32]) -> (usize, usize) {
    let end = |offset: Option<&i32>| offset.map_or(0, |&offset| offset as usize);
    (end(offsets.first()), end(offsets.last()))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::{
        array::{Int64Array, ListArray, RecordBatch, StringArray, StructArray},
        buffer::OffsetBuffer,
        datatypes::Field,
    };
    use parquet::arrow::ArrowSchemaConverter;

    use super::*;

    #[test]
    fn a_leaf_with_many_bytes_is_compressed_wherever_it_is_nested() {
        let rows = 1_000;
        let long: ArrayRef = Arc::new(StringArray::from(vec!["0123456789".repeat(10); rows]));
        let short: ArrayRef = Arc::new(StringArray::from(vec!["a"; rows]));
        let numbers: ArrayRef = Arc::new(Int64Array::from(vec![Some(1); rows]));
        let absent: ArrayRef = Arc::new(Int64Array::from(vec![None; rows]));
        let field = |name: &str, array: &ArrayRef| {
            Arc::new(Field::new(name, array.data_type().clone(), true))
        };
        let parts: ArrayRef = Arc::new(StructArray::from(vec![
            (field("short", &short), short),
            (field("long", &long), long),
            (field("numbers", &numbers), numbers.clone()),
        ]));
        let list: ArrayRef = Arc::new(ListArray::new(
            field("element", &parts),
            OffsetBuffer::from_lengths([10; 100]),
            parts,
            None,
        ));
        let batch =
            RecordBatch::try_from_iter([("list", list), ("numbers", numbers.slice(0, 100))])
                .unwrap();
        let of = |batches: &[RecordBatch]| compressed_leaves(batches);
        assert_eq!(of(std::slice::from_ref(&batch)), [false, true, false, false]);
        let many = vec![batch.clone(); 5];
        assert_eq!(of(&many), [false, true, true, false], "the bytes of all batches");
        let leaves = ArrowSchemaConverter::new().convert(&batch.schema()).unwrap().num_columns();
        assert_eq!(of(&many).len(), leaves);
        let absent = RecordBatch::try_from_iter([("absent", absent)]).unwrap();
        assert_eq!(of(&vec![absent; 100]), [false], "nulls have no bytes");
    }
}
