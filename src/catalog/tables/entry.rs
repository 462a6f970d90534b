//! A table as the file writes it.

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::Spanned;

use crate::catalog::{
    InvalidKey, ValuePath,
    tables::definition::{Computation, Definition, Unit},
};

/// The most tables of a dataset: each is a file a day, and takes memory while it is open (G8).
const MOST_TABLES: usize = 50;

/// The most columns of a table that it inherits, and the most that it computes (G8).
const MOST_COLUMNS: usize = 200;

/// A table as the file writes it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::catalog) struct TableEntry {
    rows: Option<String>,
    #[serde(default)]
    inherit: Vec<String>,
    #[serde(default)]
    columns: BTreeMap<String, Spanned<ColumnEntry>>,
}

/// A computed column as the file writes it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ColumnEntry {
    first: Option<String>,
    last: Option<String>,
    by: Option<String>,
    sum: Option<String>,
    #[serde(default)]
    unit: Unit,
    any: Option<String>,
    seconds: Option<[String; 2]>,
}

impl TableEntry {
    /// The tables of a dataset in the order of the file. `key` is that of the tables, for errors.
    ///
    /// # Errors
    /// If there are too many, or if a name, a path or a computation is not valid.
    pub(in crate::catalog) fn read(
        entries: &BTreeMap<String, Spanned<Self>>,
        key: &str,
    ) -> Result<Vec<Definition>, InvalidKey> {
        if entries.len() > MOST_TABLES {
            let reason = format!("there are {} tables: at most {MOST_TABLES}", entries.len());
            return Err(InvalidKey::new(key, reason));
        }
        in_order(entries).map(|(name, entry)| entry.definition(name, key)).collect()
    }

    fn definition(&self, name: &str, key: &str) -> Result<Definition, InvalidKey> {
        let key = format!("{key}.{name}");
        let is_allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        if !name.starts_with(|c: char| c.is_ascii_lowercase()) || !name.chars().all(is_allowed) {
            let reason = format!(
                "`{name}` is not a valid name of a table: expected lowercase letters, digits and \
                 `_`, and a letter first, such as `call_legs`"
            );
            return Err(InvalidKey::new(&key, reason));
        }
        for (field, count) in [("inherit", self.inherit.len()), ("columns", self.columns.len())] {
            if count > MOST_COLUMNS {
                let reason = format!("there are {count}: at most {MOST_COLUMNS}");
                return Err(InvalidKey::new(&format!("{key}.{field}"), reason));
            }
        }
        let rows = self.rows.as_deref();
        let rows = rows.map(|rows| path(&format!("{key}.rows"), rows)).transpose()?;
        let inherit_key = format!("{key}.inherit");
        let inherit = self.inherit.iter().map(|text| path(&inherit_key, text));
        let inherit = inherit.collect::<Result<_, _>>()?;
        let mut columns = Vec::with_capacity(self.columns.len());
        for (name, column) in in_order(&self.columns) {
            let computation = column.computation(&format!("{key}.columns.{name}"))?;
            columns.push((name.clone(), computation));
        }
        Ok(Definition { name: name.to_owned(), rows, inherit, columns })
    }
}

impl ColumnEntry {
    fn computation(&self, key: &str) -> Result<Computation<ValuePath>, InvalidKey> {
        let path = |text: &String| path(key, text);
        let by = || self.by.as_ref().map(path).transpose();
        let mut all = Vec::new();
        if let Some(value) = &self.first {
            all.push(Computation::First { value: path(value)?, by: by()? });
        }
        if let Some(value) = &self.last {
            all.push(Computation::Last { value: path(value)?, by: by()? });
        }
        if let Some(values) = &self.sum {
            all.push(Computation::Sum { values: path(values)?, unit: self.unit });
        }
        if let Some(values) = &self.any {
            all.push(Computation::Any(path(values)?));
        }
        if let Some([from, to]) = &self.seconds {
            all.push(Computation::Seconds([path(from)?, path(to)?]));
        }
        let (Some(computation), []) = (all.pop(), all.as_slice()) else {
            let reason = "give one of `first`, `last`, `sum`, `any` and `seconds`";
            return Err(InvalidKey::new(key, reason));
        };
        let is_ordered =
            matches!(computation, Computation::First { .. } | Computation::Last { .. });
        if self.by.is_some() && !is_ordered {
            return Err(InvalidKey::new(key, "`by` orders the values of `first` and `last` only"));
        }
        if self.unit != Unit::None && self.sum.is_none() {
            return Err(InvalidKey::new(key, "`unit` is that of the values of a `sum`"));
        }
        Ok(computation)
    }
}

fn path(key: &str, text: &str) -> Result<ValuePath, InvalidKey> {
    ValuePath::read(text).ok_or_else(|| {
        let reason =
            format!("`{text}` is not a path: write one such as `legs[].parts[kind=talk].seconds`");
        InvalidKey::new(key, reason)
    })
}

/// The entries in the order of the file: `toml` sorts keys.
fn in_order<T>(entries: &BTreeMap<String, Spanned<T>>) -> impl Iterator<Item = (&String, &T)> {
    let mut entries: Vec<_> = entries.iter().collect();
    entries.sort_unstable_by_key(|(_, entry)| entry.span().start);
    entries.into_iter().map(|(name, entry)| (name, entry.as_ref()))
}
