//! One layer of the configuration: a file or a `--set`, with the place of each key.

use std::collections::BTreeMap;

use toml::{
    Spanned, Table, Value,
    de::{DeTable, DeValue},
};

use crate::catalog::CatalogError;

/// The place of a key of `--set`. It leaves the value out, which may be a secret.
pub(crate) const ARGUMENT: &str = "--set";
/// The most parts of a key of `--set`.
const DEEPEST_KEY: usize = 16;

/// What is wrong with the configuration, and where.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{place}: {key}{message}")]
pub struct ConfigError {
    /// The file and line, or the argument.
    pub(crate) place: String,
    /// The key with `: `, or empty if the error concerns no key.
    pub(crate) key: String,
    pub(crate) message: String,
    /// Whether a secret is missing, so that only its own source cannot be used.
    pub(crate) is_missing_secret: bool,
}

impl ConfigError {
    /// An error that concerns a whole file or an argument.
    pub fn at(place: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            place: place.into(),
            key: String::new(),
            message: message.into(),
            is_missing_secret: false,
        }
    }
}

impl From<CatalogError> for ConfigError {
    fn from(CatalogError { file, key, reason }: CatalogError) -> Self {
        Self { key: format!("{key}: "), ..Self::at(file, reason) }
    }
}

/// One file, or one source of its list.
#[derive(Default)]
pub(crate) struct Layer {
    pub table: Table,
    /// The file and line of each key, by its path.
    pub places: BTreeMap<String, String>,
}

/// One `--set section.key=value`.
pub(crate) struct SetArgument {
    /// The path: at least a section and a key.
    pub keys: Vec<String>,
    pub value: Value,
}

impl Layer {
    /// Reads the text of the file `name`.
    ///
    /// # Errors
    /// If it is not TOML.
    pub(crate) fn read(text: &str, name: &str) -> Result<Self, ConfigError> {
        let line_ends: Vec<_> = text.match_indices('\n').map(|(at, _)| at).collect();
        // the end of the text belongs to its last line
        let last = text.len().saturating_sub(1);
        let line = |at: usize| line_ends.partition_point(|end| *end < at.min(last)) + 1;
        let place = |at| format!("{name}:{}", line(at));
        let syntax_error = |error: toml::de::Error| {
            ConfigError::at(place(error.span().map_or(0, |span| span.start)), error.message())
        };
        let mut layer =
            Self { table: toml::from_str(text).map_err(syntax_error)?, places: BTreeMap::new() };
        layer.record("", DeTable::parse(text).map_err(syntax_error)?.get_ref(), &place);
        Ok(layer)
    }

    fn record(&mut self, above: &str, table: &DeTable<'_>, place: &dyn Fn(usize) -> String) {
        for (key, value) in table {
            let path = format!("{above}{}", key.get_ref());
            self.places.insert(path.clone(), place(key.span().start));
            self.record_value(&path, value, place);
        }
    }

    fn record_value(
        &mut self,
        path: &str,
        value: &Spanned<DeValue<'_>>,
        place: &dyn Fn(usize) -> String,
    ) {
        match value.get_ref() {
            DeValue::Table(table) => self.record(&format!("{path}."), table, place),
            DeValue::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    let path = format!("{path}[{index}]");
                    self.places.insert(path.clone(), place(item.span().start));
                    self.record_value(&path, item, place);
                }
            }
            _ => {}
        }
    }
}

impl SetArgument {
    /// Reads `section.key=value`. A value that is not TOML is a string.
    pub(crate) fn read(set: &str) -> Result<Self, ConfigError> {
        let malformed = || {
            let path = set.split('=').next().unwrap_or(set);
            ConfigError::at(
                format!("{ARGUMENT} {path}"),
                "expected section.key=value, such as fetch.actors=16",
            )
        };
        let (path, text) = set.split_once('=').ok_or_else(malformed)?;
        let keys: Vec<_> = path.split('.').map(|key| key.trim().to_owned()).collect();
        if keys.len() < 2 || keys.iter().any(String::is_empty) {
            return Err(malformed());
        }
        if keys.len() > DEEPEST_KEY {
            let message = format!("the key has {} parts: at most {DEEPEST_KEY}", keys.len());
            return Err(ConfigError::at(ARGUMENT, message));
        }
        let parsed = toml::from_str::<Table>(&format!("value = {text}"))
            .ok()
            .and_then(|mut table| table.remove("value"));
        Ok(Self { keys, value: parsed.unwrap_or_else(|| Value::String(text.to_owned())) })
    }
}
