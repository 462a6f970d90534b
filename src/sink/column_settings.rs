//! Chooses how each column of a file is written, by its first rows.
//!
//! Most columns of a wide dataset are almost empty, and the encoder keeps buffers for every column:
//! with zstd a compressor and a decompressor, about 300 KiB, with a dictionary a hash table. They
//! are also most of the time of a small file. So each is used where it makes the file smaller.

use std::collections::HashSet;

use arrow::{
    array::{Array, ArrayRef, AsArray},
    datatypes::DataType,
    record_batch::RecordBatch,
};
use parquet::{
    basic::{Compression, Encoding},
    file::properties::{EnabledStatistics, WriterPropertiesBuilder},
    schema::types::{ColumnDescriptor, SchemaDescriptor},
};
use xxhash_rust::xxh3::xxh3_64;

use crate::sink::settings::{ParquetSettings, Profile};

/// A column with fewer values in the first rows has no dictionary.
const FEWEST_DICTIONARY_VALUES: usize = 8;

/// Values that are compared to see whether they repeat.
const SAMPLED_VALUES: usize = 1_024;

/// Values repeat if each comes so often on average. Of values that come less often, such as the
/// times of metrics, the numbers that stand for them take more room than a compressor leaves of the
/// values.
const REPETITIONS: usize = 5;

/// What the first rows of a file have in a leaf column.
#[derive(Debug, PartialEq, Eq)]
struct Leaf {
    /// Places for a value, be it there or null. An empty list has one too.
    slots: usize,
    /// The bytes of the values.
    bytes: usize,
    kind: Kind,
    /// Whether values come [`REPETITIONS`] times or more on average.
    repeats: bool,
}

/// The kinds of values that are encoded differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    /// Integers and times.
    Integer,
    Other,
}

/// Sets how the columns of a file are written. `first` are the first of about `rows` rows of a row
/// group.
pub(crate) fn set_columns(
    mut properties: WriterPropertiesBuilder,
    settings: &ParquetSettings,
    columns: &SchemaDescriptor,
    first: &RecordBatch,
    rows: usize,
) -> WriterPropertiesBuilder {
    properties = properties
        .set_compression(Compression::UNCOMPRESSED)
        .set_dictionary_enabled(false)
        .set_statistics_enabled(EnabledStatistics::None);
    let smallest = settings.profile.smallest_compressed_bytes();
    for (leaf, column) in leaves_of(first).iter().zip(columns.columns()) {
        let path = column.path();
        let bytes = leaf.bytes + leaf.slots * level_bits(column) / 8;
        if bytes.saturating_mul(rows) / first.num_rows().max(1) >= smallest {
            properties = properties.set_column_compression(path.clone(), settings.compression);
        }
        if leaf.repeats {
            properties = properties.set_column_dictionary_enabled(path.clone(), true);
        } else if let Some(encoding) = settings.profile.encoding(leaf) {
            properties = properties.set_column_encoding(path.clone(), encoding);
        }
        // filters of readers reach no further than into structures
        if column.max_rep_level() == 0 {
            let statistics = EnabledStatistics::Chunk;
            properties = properties.set_column_statistics_enabled(path.clone(), statistics);
        }
    }
    properties
}

impl Profile {
    /// A column with fewer bytes in a row group is not compressed.
    fn smallest_compressed_bytes(self) -> usize {
        match self {
            Self::Fast => 8 << 10,
            Self::Small => 1 << 10,
        }
    }

    /// The encoding of values that do not repeat. `None` if they are written as they are.
    fn encoding(self, leaf: &Leaf) -> Option<Encoding> {
        match (self, leaf.kind) {
            _ if leaf.bytes == 0 => None,
            (Self::Small, Kind::Text) => Some(Encoding::DELTA_LENGTH_BYTE_ARRAY),
            (Self::Small, Kind::Integer) => Some(Encoding::DELTA_BINARY_PACKED),
            _ => None,
        }
    }
}

/// The bits that say for each place of a column whether a value is there, and in which list.
fn level_bits(column: &ColumnDescriptor) -> usize {
    let bits = |most: i16| (i16::BITS - most.leading_zeros()) as usize;
    bits(column.max_def_level()) + bits(column.max_rep_level())
}

/// The leaf columns in the order of a Parquet schema.
fn leaves_of(rows: &RecordBatch) -> Vec<Leaf> {
    let mut leaves = Vec::new();
    for column in rows.columns() {
        push_leaves(column, 0, &mut leaves);
    }
    leaves
}

/// Appends the leaves of a column, depth first. So many lists around it are empty or null.
fn push_leaves(array: &ArrayRef, empty: usize, leaves: &mut Vec<Leaf>) {
    let len = array.len();
    let (slots, present) = (len + empty, len - array.null_count());
    match array.data_type() {
        DataType::Struct(_) => {
            for column in array.as_struct().columns() {
                push_leaves(column, empty, leaves);
            }
        }
        DataType::List(_) => {
            let list = array.as_list::<i32>();
            let (from, to) = ends(list.value_offsets());
            let empty = empty + empty_lists(list.value_offsets());
            push_leaves(&list.values().slice(from, to - from), empty, leaves);
        }
        DataType::Map(..) => {
            let map = array.as_map();
            let (from, to) = ends(map.value_offsets());
            let empty = empty + empty_lists(map.value_offsets());
            push_leaves(&map.keys().slice(from, to - from), empty, leaves);
            push_leaves(&map.values().slice(from, to - from), empty, leaves);
        }
        DataType::Utf8 => {
            let texts = array.as_string::<i32>();
            let (from, to) = ends(texts.value_offsets());
            let hashes = texts.iter().flatten().map(|text| xxh3_64(text.as_bytes()));
            let repeats = repeat(present, hashes);
            leaves.push(Leaf { slots, bytes: to - from, kind: Kind::Text, repeats });
        }
        DataType::Boolean => {
            leaves.push(Leaf { slots, bytes: present / 8, kind: Kind::Other, repeats: false });
        }
        numbers => {
            let width = numbers.primitive_width().unwrap_or(0);
            // a column with few values, as most have, is not looked at
            let data = (width == 8 && present >= FEWEST_DICTIONARY_VALUES).then(|| array.to_data());
            let values: &[u64] = data.as_ref().map_or(&[], |data| data.buffer(0));
            let present_values = (0..values.len().min(len)).filter(|&slot| array.is_valid(slot));
            let repeats = repeat(present, present_values.map(|slot| values[slot]));
            let is_integer = numbers.is_integer() || numbers.is_temporal();
            let kind = if is_integer { Kind::Integer } else { Kind::Other };
            leaves.push(Leaf { slots, bytes: width * present, kind, repeats });
        }
    }
}

/// Whether the first of these values, of which there are so many, come [`REPETITIONS`] times or
/// more on average.
fn repeat(present: usize, values: impl Iterator<Item = u64>) -> bool {
    if present < FEWEST_DICTIONARY_VALUES {
        return false;
    }
    let (mut distinct, mut sampled, mut last) = (HashSet::new(), 0, None);
    for value in values.take(SAMPLED_VALUES) {
        sampled += 1;
        // what tables repeat for each element of a list comes in runs
        if last.replace(value) != Some(value) {
            distinct.insert(value);
        }
        if distinct.len() * REPETITIONS > SAMPLED_VALUES {
            return false;
        }
    }
    sampled >= FEWEST_DICTIONARY_VALUES && distinct.len() * REPETITIONS <= sampled
}

/// The number of lists between these offsets that have no element.
fn empty_lists(offsets: &[i32]) -> usize {
    offsets.windows(2).filter(|ends| ends[0] == ends[1]).count()
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
        array::{BooleanArray, Float64Array, Int64Array, ListArray, StringArray, StructArray},
        buffer::OffsetBuffer,
        datatypes::Field,
    };
    use parquet::{arrow::ArrowSchemaConverter, file::properties::WriterProperties};

    use super::*;
    use crate::sink::{FileSchemas, Layout};

    fn array<A: Array + 'static>(array: A) -> ArrayRef {
        Arc::new(array)
    }

    /// One value in each of `slots` slots.
    fn texts(slots: i64, text: impl Fn(i64) -> String) -> ArrayRef {
        array((0..slots).map(|slot| Some(text(slot))).collect::<StringArray>())
    }

    /// The columns below a list of structures with ten elements a row.
    fn in_list(rows: usize, columns: Vec<(&str, ArrayRef)>) -> ArrayRef {
        let field = |name: &str, array: &ArrayRef| {
            Arc::new(Field::new(name, array.data_type().clone(), true))
        };
        let columns: Vec<_> =
            columns.into_iter().map(|(name, array)| (field(name, &array), array)).collect();
        let elements: ArrayRef = Arc::new(StructArray::from(columns));
        let lengths = OffsetBuffer::from_lengths(std::iter::repeat_n(10, rows));
        array(ListArray::new(field("element", &elements), lengths, elements, None))
    }

    /// The properties of a file that has these rows, and of its columns the paths.
    fn properties(
        profile: Profile,
        columns: Vec<(&str, ArrayRef)>,
        times: usize,
    ) -> (WriterProperties, SchemaDescriptor) {
        let first = RecordBatch::try_from_iter(columns).unwrap();
        let columns = ArrowSchemaConverter::new().convert(first.schema_ref()).unwrap();
        let settings = ParquetSettings {
            compression: Compression::SNAPPY,
            profile,
            layout: Layout::Nested,
            row_group_rows: 100,
            schemas: FileSchemas::default(),
            job: String::new(),
        };
        let builder = WriterProperties::builder();
        let rows = first.num_rows() * times;
        (set_columns(builder, &settings, &columns, &first, rows).build(), columns)
    }

    /// A property of every leaf column.
    fn each<T>(
        (properties, columns): &(WriterProperties, SchemaDescriptor),
        of: impl Fn(&WriterProperties, &parquet::schema::types::ColumnPath) -> T,
    ) -> Vec<T> {
        columns.columns().iter().map(|column| of(properties, column.path())).collect()
    }

    #[test]
    fn a_column_is_compressed_if_a_row_group_has_enough_bytes_of_it() {
        let columns = || {
            vec![
                ("long", texts(100, |slot| format!("{slot:050}"))),
                ("short", texts(100, |_| "a".into())),
                ("absent", array(Int64Array::from(vec![None; 100]))),
                ("list", in_list(100, vec![("in", texts(1_000, |slot| format!("{slot:05}")))])),
            ]
        };
        let compressed = |profile, times| {
            each(&properties(profile, columns(), times), |properties, path| {
                properties.compression(path) == Compression::SNAPPY
            })
        };
        assert_eq!(compressed(Profile::Fast, 1), [false, false, false, false]);
        assert_eq!(compressed(Profile::Fast, 2), [true, false, false, true], "by all rows");
        assert_eq!(compressed(Profile::Small, 1), [true, false, false, true]);
    }

    #[test]
    fn levels_count_as_bytes_so_that_empty_columns_of_lists_are_compressed() {
        let absent = || array(Int64Array::from(vec![None; 1_000]));
        let columns = vec![("list", in_list(100, vec![("absent", absent())]))];
        let compressed = each(&properties(Profile::Fast, columns, 100), |properties, path| {
            properties.compression(path)
        });
        assert_eq!(compressed, [Compression::SNAPPY]);
    }

    #[test]
    fn levels_of_empty_lists_count_so_that_columns_inside_them_are_compressed() {
        let field = Arc::new(Field::new("element", DataType::Int64, true));
        let none = array(Int64Array::from(Vec::<i64>::new()));
        let lengths = OffsetBuffer::from_lengths(std::iter::repeat_n(0, 1_000));
        let empty = array(ListArray::new(field, lengths, none, None));
        let columns = vec![("list", in_list(100, vec![("empty", empty)]))];
        let compressed = each(&properties(Profile::Fast, columns, 100), |properties, path| {
            properties.compression(path)
        });
        assert_eq!(compressed, [Compression::SNAPPY]);
    }

    #[test]
    fn only_values_that_repeat_have_a_dictionary() {
        let columns = vec![
            ("same", texts(100, |slot| (slot % 20).to_string())),
            ("pairs", texts(100, |slot| (slot / 2).to_string())),
            ("unique", texts(100, |slot| slot.to_string())),
            ("numbers", array((0..100).map(|slot| slot % 20).collect::<Int64Array>())),
            ("times", array((0..100).map(|slot| slot / 3).collect::<Int64Array>())),
            ("ids", array((0..100).collect::<Int64Array>())),
            ("reals", array((0..100).map(|slot| f64::from(slot % 3)).collect::<Float64Array>())),
            ("runs", texts(100, |slot| (slot / 10).to_string())),
            ("flags", array(BooleanArray::from(vec![true; 100]))),
            ("absent", array(Int64Array::from(vec![None; 100]))),
        ];
        let dictionary = each(&properties(Profile::Fast, columns, 1), |properties, path| {
            properties.dictionary_enabled(path)
        });
        let expected = [true, false, false, true, false, false, true, true, false, false];
        assert_eq!(dictionary, expected);
    }

    #[test]
    fn a_small_file_has_delta_encodings_where_values_do_not_repeat() {
        let columns = || {
            vec![
                ("ids", texts(100, |slot| slot.to_string())),
                ("numbers", array((0..100).collect::<Int64Array>())),
                ("reals", array((0..100).map(f64::from).collect::<Float64Array>())),
                ("same", texts(100, |_| "same".into())),
            ]
        };
        let encodings = |profile| {
            each(&properties(profile, columns(), 1), |properties, path| properties.encoding(path))
        };
        assert_eq!(encodings(Profile::Fast), [None; 4]);
        let delta = [Encoding::DELTA_LENGTH_BYTE_ARRAY, Encoding::DELTA_BINARY_PACKED].map(Some);
        assert_eq!(encodings(Profile::Small), [delta[0], delta[1], None, None]);
    }

    #[test]
    fn only_columns_outside_of_lists_have_statistics() {
        let columns = vec![
            ("time", array((0..10).collect::<Int64Array>())),
            ("list", in_list(10, vec![("in", texts(100, |slot| slot.to_string()))])),
        ];
        let statistics = each(&properties(Profile::Fast, columns, 1), |properties, path| {
            properties.statistics_enabled(path)
        });
        assert_eq!(statistics, [EnabledStatistics::Chunk, EnabledStatistics::None]);
    }
}
