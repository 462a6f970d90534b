//! The entries of a map, of which the last one of each key is kept.

use std::collections::HashSet;

use crate::decode::columns::{Column, ColumnFull, Texts, Values};

/// Removes the entries of a map, from the entry `from` on, whose key comes again later. Returns how
/// many.
pub(super) fn keep_last_entries(
    from: usize,
    keys: &mut Texts,
    values: &mut Column,
) -> Result<u64, ColumnFull> {
    let to = keys.len();
    // a few keys are compared faster than hashed
    let is_last = |at: usize| (at + 1..to).all(|later| keys.get(at) != keys.get(later));
    if to - from <= 8 && (from..to).all(is_last) {
        return Ok(0);
    }
    let mut seen = HashSet::with_capacity(to - from);
    let mut kept: Vec<usize> = (from..to).rev().filter(|&at| seen.insert(keys.get(at))).collect();
    if kept.len() == to - from {
        return Ok(0);
    }
    kept.reverse();
    let entry = |&at: &usize| {
        let value = match &values.values {
            Values::Text(texts) if !values.is_null(at) => Some(texts.get(at).to_vec()),
            _ => None,
        };
        (keys.get(at).to_vec(), value)
    };
    let entries: Vec<_> = kept.iter().map(entry).collect();
    keys.truncate(from);
    values.truncate(from);
    for (at, (key, value)) in (from..).zip(&entries) {
        keys.push(key)?;
        if let Some(value) = value {
            values.pad(at);
            if let Values::Text(texts) = &mut values.values {
                texts.push(value)?;
                values.valid.push_valid();
            }
        }
    }
    Ok((to - from - kept.len()) as u64)
}
