//! Drops, hashes or masks the values of Arrow arrays.

use std::{borrow::Cow, collections::BTreeMap, sync::Arc};

use arrow::{
    array::{
        Array, ArrayRef, AsArray, ListArray, MapArray, StringArray, StringBuilder, StructArray,
        new_null_array,
    },
    buffer::OffsetBuffer,
    datatypes::DataType,
    error::ArrowError,
};

use crate::privacy::{Action, HashKey, rules::Node};

/// What a mask writes for each character.
const MASK: &str = "*";

/// A column with its hidden values dropped, hashed or masked.
pub(super) fn hide(array: &ArrayRef, node: &Node, key: &HashKey) -> Result<ArrayRef, ArrowError> {
    match (node, array.data_type()) {
        (Node::Column(Action::Keep), _) => Ok(Arc::clone(array)),
        (Node::Column(Action::Drop), data_type) => Ok(new_null_array(data_type, array.len())),
        (_, DataType::List(field)) => {
            let list = array.as_list::<i32>();
            let values = hide(list.values(), node, key)?;
            let offsets = list.offsets().clone();
            let nulls = list.nulls().cloned();
            Ok(Arc::new(ListArray::try_new(Arc::clone(field), offsets, values, nulls)?))
        }
        (Node::Fields { columns, .. }, DataType::Struct(_)) => {
            hide_fields(array.as_struct(), columns, key)
        }
        (Node::Column(action), DataType::Map(..)) => {
            map_entries(array.as_map(), |_, text| hidden(text, *action, key))
        }
        (Node::Entries(entries), DataType::Map(..)) => {
            map_entries(array.as_map(), |name, text| hidden(text, entries.action(name), key))
        }
        (Node::Column(action), DataType::Utf8) => {
            let texts = array.as_string::<i32>().iter();
            let texts: StringArray =
                texts.map(|text| text.and_then(|text| hidden(text, *action, key))).collect();
            Ok(Arc::new(texts))
        }
        // rules are checked against the types of the columns
        (_, data_type) => Ok(new_null_array(data_type, array.len())),
    }
}

fn hide_fields(
    array: &StructArray,
    columns: &BTreeMap<String, Node>,
    key: &HashKey,
) -> Result<ArrayRef, ArrowError> {
    let mut arrays = array.columns().to_vec();
    for (field, inner) in array.fields().iter().zip(&mut arrays) {
        if let Some(node) = columns.get(field.name()) {
            *inner = hide(inner, node, key)?;
        }
    }
    let nulls = array.nulls().cloned();
    Ok(Arc::new(StructArray::try_new(array.fields().clone(), arrays, nulls)?))
}

/// A map of texts with what `change` makes of each of its values; an entry for which that is `None`
/// is left out. An entry without a value stays.
pub(super) fn map_entries<'t>(
    map: &'t MapArray,
    mut change: impl FnMut(&str, &'t str) -> Option<Cow<'t, str>>,
) -> Result<ArrayRef, ArrowError> {
    let DataType::Map(entry, is_sorted) = map.data_type() else {
        return Ok(new_null_array(map.data_type(), map.len()));
    };
    let (keys, values) = (map.keys().as_string::<i32>(), map.values().as_string::<i32>());
    let (mut new_keys, mut new_values) = (StringBuilder::new(), StringBuilder::new());
    let mut lengths = Vec::with_capacity(map.len());
    for row in map.offsets().windows(2) {
        let mut length = 0;
        for at in row[0] as usize..row[1] as usize {
            let value = match values.is_valid(at) {
                true => match change(keys.value(at), values.value(at)) {
                    Some(value) => Some(value),
                    None => continue,
                },
                false => None,
            };
            new_keys.append_value(keys.value(at));
            new_values.append_option(value);
            length += 1;
        }
        lengths.push(length);
    }
    let arrays: Vec<ArrayRef> = vec![Arc::new(new_keys.finish()), Arc::new(new_values.finish())];
    let entries = StructArray::try_new(map.entries().fields().clone(), arrays, None)?;
    let offsets = OffsetBuffer::from_lengths(lengths);
    let nulls = map.nulls().cloned();
    Ok(Arc::new(MapArray::try_new(Arc::clone(entry), offsets, entries, nulls, *is_sorted)?))
}

/// What is written of a text. `None` if nothing is.
pub(super) fn hidden<'t>(text: &'t str, action: Action, key: &HashKey) -> Option<Cow<'t, str>> {
    match action {
        Action::Drop => None,
        Action::Keep => Some(text.into()),
        Action::Hash | Action::Mask(_) if text.is_empty() => Some(text.into()),
        Action::Hash => Some(key.hash(text.as_bytes()).into()),
        Action::Mask(kept) => Some(masked(text, kept).into()),
    }
}

fn masked(text: &str, kept: usize) -> String {
    let length = text.chars().count();
    if length <= kept {
        return MASK.repeat(length);
    }
    let shown = text.chars().skip(length - kept);
    MASK.repeat(length - kept).chars().chain(shown).collect()
}
