//! A map that is a part of an id as text, by which rows of tables can be joined.

use std::{collections::BTreeMap, sync::Arc};

use arrow::{
    array::{Array, ArrayRef, AsArray, StringArray},
    error::ArrowError,
};

use crate::tables::other_columns;

/// The maps of an array as JSON objects with sorted keys, so that equal maps have equal texts. Null
/// where there is no map.
///
/// # Errors
/// If the array has no maps of texts.
pub(super) fn of(maps: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    let maps = maps.as_map_opt().ok_or_else(other_columns)?;
    let keys = maps.keys().as_string_opt::<i32>().ok_or_else(other_columns)?;
    let values = maps.values().as_string_opt::<i32>().ok_or_else(other_columns)?;
    let text = |row: usize| -> Result<Option<String>, ArrowError> {
        if maps.is_null(row) {
            return Ok(None);
        }
        let [start, end] = [row, row + 1].map(|row| maps.value_offsets()[row] as usize);
        let entry =
            |index| (keys.value(index), values.is_valid(index).then(|| values.value(index)));
        let sorted: BTreeMap<_, _> = (start..end).map(entry).collect();
        let json = serde_json::to_string(&sorted);
        json.map(Some).map_err(|error| ArrowError::ExternalError(Box::new(error)))
    };
    let texts = (0..maps.len()).map(text).collect::<Result<StringArray, _>>()?;
    Ok(Arc::new(texts))
}
