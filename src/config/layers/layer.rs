//! One layer of the configuration: a file or a `--set`, and where it says what.

use std::collections::BTreeMap;

use toml::{
    Spanned, Table, Value,
    de::{DeTable, DeValue},
};

use crate::catalog::CatalogError;

/// Where a key of `--set` was said: not with its value, which may be a secret.
pub(crate) const ARGUMENT: &str = "--set";

/// What is wrong with the configuration: `place: key: what, and what would be right`.
#[derive(Debug, thiserror::Error)]
#[error("{place}: {key}{message}")]
pub struct ConfigError {
    /// The file and line, or the argument.
    pub(crate) place: String,
    /// The key with `: `; empty where it is no key's fault.
    pub(crate) key: String,
    pub(crate) message: String,
}

impl ConfigError {
    /// An error that concerns a whole file, or an argument.
    pub fn at(place: impl Into<String>, message: impl Into<String>) -> Self {
        Self { place: place.into(), key: String::new(), message: message.into() }
    }
}

impl From<CatalogError> for ConfigError {
    fn from(CatalogError { file, key, reason }: CatalogError) -> Self {
        Self { place: file, key: format!("{key}: "), message: reason }
    }
}

/// One file, or one source of its list.
#[derive(Default)]
pub(crate) struct Layer {
    /// What it says.
    pub table: Table,
    /// Where it says each key, by its path.
    pub places: BTreeMap<String, String>,
}

/// One `--set section.key=value`.
pub(crate) struct SetArgument {
    /// The path, two keys at least.
    pub keys: Vec<String>,
    /// The value.
    pub value: Value,
}

impl Layer {
    /// Reads the text of the file `name`.
    pub(crate) fn read(text: &str, name: &str) -> Result<Self, ConfigError> {
        let before = |at: usize| &text.as_bytes()[..at.min(text.len().saturating_sub(1))];
        let place =
            |at| format!("{name}:{}", before(at).iter().filter(|byte| **byte == b'\n').count() + 1);
        let broken = |error: toml::de::Error| {
            ConfigError::at(place(error.span().map_or(0, |span| span.start)), error.message())
        };
        let mut layer =
            Self { table: toml::from_str(text).map_err(broken)?, places: BTreeMap::new() };
        layer.note("", DeTable::parse(text).map_err(broken)?.get_ref(), &place);
        Ok(layer)
    }

    fn note(&mut self, above: &str, table: &DeTable<'_>, place: &dyn Fn(usize) -> String) {
        for (key, value) in table {
            let path = format!("{above}{}", key.get_ref());
            self.places.insert(path.clone(), place(key.span().start));
            self.note_inside(&path, value, place);
        }
    }

    fn note_inside(
        &mut self,
        path: &str,
        value: &Spanned<DeValue<'_>>,
        place: &dyn Fn(usize) -> String,
    ) {
        match value.get_ref() {
            DeValue::Table(table) => self.note(&format!("{path}."), table, place),
            DeValue::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    let path = format!("{path}[{index}]");
                    self.places.insert(path.clone(), place(item.span().start));
                    self.note_inside(&path, item, place);
                }
            }
            _ => {}
        }
    }
}

impl SetArgument {
    /// Reads `section.key=value`. The value is TOML, else a text.
    pub(crate) fn read(set: &str) -> Result<Self, ConfigError> {
        let malformed = || {
            let path = set.split('=').next().unwrap_or(set);
            ConfigError::at(
                format!("{ARGUMENT} {path}"),
                "write it as section.key=value, like fetch.actors=16",
            )
        };
        let (path, text) = set.split_once('=').ok_or_else(malformed)?;
        let keys: Vec<_> = path.split('.').map(|key| key.trim().to_owned()).collect();
        if keys.len() < 2 || keys.iter().any(String::is_empty) {
            return Err(malformed());
        }
        let parsed = toml::from_str::<Table>(&format!("value = {text}"))
            .ok()
            .and_then(|mut table| table.remove("value"));
        Ok(Self { keys, value: parsed.unwrap_or_else(|| Value::String(text.to_owned())) })
    }
}
