//! The layers of the configuration, and where each key was said.

use std::{collections::HashMap, io, path::Path};

use serde::de::DeserializeOwned;
use toml::{Table, Value, de::DeTable};

use super::Given;

/// The file that documents every key is also the lowest layer.
const DEFAULTS: &str = include_str!("../../config.toml");
/// The name of that layer in messages.
const BUILT_IN: &str = "the built-in config.toml";
/// Where a key of `--set` was said: not with its value, which may be a secret.
const ARGUMENT: &str = "--set";
/// What `--config` is where it is not given.
const DEFAULT_PATH: &str = "config.toml";

/// What is wrong with the configuration: `place: key: what, and what would be right`.
#[derive(Debug, thiserror::Error)]
#[error("{place}: {key}{message}")]
pub struct ConfigError {
    /// The file and line, or the argument.
    place: String,
    /// The key with `: `; empty where it is no key's fault.
    key: String,
    message: String,
}

impl ConfigError {
    /// An error that concerns a whole file, or an argument.
    pub fn at(place: impl Into<String>, message: impl Into<String>) -> Self {
        Self { place: place.into(), key: String::new(), message: message.into() }
    }
}

/// All layers as one. A key is `section.key`: an upper layer replaces its value whole, so that a
/// secret from a file is never mixed with one from the environment.
pub struct Layers {
    table: Table,
    /// `section.key` → where it was said last.
    places: HashMap<String, String>,
    /// Where a key would be said that nobody said.
    main: String,
}

impl Layers {
    /// Reads the layers.
    pub fn read(given: &Given) -> Result<Self, ConfigError> {
        let path = given.path.as_deref().unwrap_or(Path::new(DEFAULT_PATH));
        let mut layers = Self { table: Table::new(), places: HashMap::new(), main: path.display().to_string() };
        layers.lay(DEFAULTS, BUILT_IN)?;
        match std::fs::read_to_string(path) {
            Ok(text) => layers.lay(&text, &path.display().to_string())?,
            Err(error) if given.path.is_none() && error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                let message = format!("cannot be read: {error}; give its path with --config");
                return Err(ConfigError::at(layers.main, message));
            }
        }
        given.set.iter().try_for_each(|set| layers.set(set))?;
        Ok(layers)
    }

    /// Lays the keys of a file over what is there.
    fn lay(&mut self, text: &str, name: &str) -> Result<(), ConfigError> {
        let line = |at: usize| text[..at.min(text.len())].lines().count().max(1);
        let broken = |error: &toml::de::Error| {
            let at = error.span().map_or(0, |span| span.start);
            ConfigError::at(format!("{name}:{}", line(at + 1)), error.message())
        };
        let table: Table = toml::from_str(text).map_err(|error| broken(&error))?;
        let spans = DeTable::parse(text).map_err(|error| broken(&error))?;
        for (section, keys) in spans.get_ref() {
            let place = |at: usize| format!("{name}:{}", line(at + 1));
            self.places.insert(section.get_ref().to_string(), place(section.span().start));
            for (key, _) in keys.get_ref().as_table().into_iter().flatten() {
                self.places.insert(format!("{}.{}", section.get_ref(), key.get_ref()), place(key.span().start));
            }
        }
        for (section, value) in table {
            self.merge(section, value);
        }
        Ok(())
    }

    fn merge(&mut self, section: String, value: Value) {
        match (self.table.get_mut(&section), value) {
            (Some(Value::Table(old)), Value::Table(new)) => old.extend(new),
            (_, value) => drop(self.table.insert(section, value)),
        }
    }

    /// Lays one `--set section.key=value` over what is there.
    fn set(&mut self, set: &str) -> Result<(), ConfigError> {
        let malformed = || {
            let path = set.split('=').next().unwrap_or(set);
            ConfigError::at(format!("{ARGUMENT} {path}"), "write it as section.key=value, like fetch.actors=16")
        };
        let (path, text) = set.split_once('=').ok_or_else(malformed)?;
        let mut keys: Vec<_> = path.split('.').map(str::trim).collect();
        if keys.len() < 2 || keys.iter().any(|key| key.is_empty()) {
            return Err(malformed());
        }
        let parsed =
            toml::from_str::<Table>(&format!("value = {text}")).ok().and_then(|mut table| table.remove("value"));
        let mut value = parsed.unwrap_or_else(|| Value::String(text.to_owned()));
        while keys.len() > 1 {
            let key = keys.pop().unwrap_or_default();
            value = Value::Table(Table::from_iter([(key.to_owned(), value)]));
        }
        let key = path.split('.').take(2).map(str::trim).collect::<Vec<_>>().join(".");
        self.places.insert(key, ARGUMENT.to_owned());
        self.places.entry(keys[0].to_owned()).or_insert_with(|| ARGUMENT.to_owned());
        self.merge(keys[0].to_owned(), value);
        Ok(())
    }

    /// The layers as a type.
    ///
    /// # Errors
    /// An unknown key or a value of the wrong type.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, ConfigError> {
        serde_path_to_error::deserialize(Value::Table(self.table.clone())).map_err(|error| {
            let message = error.inner().message().trim().to_owned();
            let path = error.path().to_string();
            let key = match message.strip_prefix("unknown field `").and_then(|rest| rest.split('`').next()) {
                Some(unknown) if path == "." => unknown.to_owned(),
                Some(unknown) if !path.ends_with(unknown) => format!("{path}.{unknown}"),
                _ => path,
            };
            self.wrong(&key, in_words(&message, &key))
        })
    }

    /// Whether nobody said `key`, so that its value is the built-in one.
    pub fn is_built_in(&self, key: &str) -> bool {
        self.places.get(key).is_some_and(|place| place.starts_with(BUILT_IN))
    }

    /// An error about `key`, at the place where it was said.
    pub fn wrong(&self, key: &str, message: impl Into<String>) -> ConfigError {
        let section_key = key.split('.').take(2).collect::<Vec<_>>().join(".");
        let place = self.places.get(&section_key).or_else(|| self.places.get(key)).unwrap_or(&self.main).clone();
        ConfigError { place, key: format!("{key}: "), message: message.into() }
    }
}

/// serde's message in the words of whoever writes the file.
fn in_words(message: &str, key: &str) -> String {
    let message = message.replacen("unknown field", "unknown key", 1);
    let Some((what, expected)) = message.rsplit_once("expected ") else { return message };
    let expected = match expected {
        "u16" => "a whole number, 0 to 65535",
        "u32" => "a whole number, 0 to 4294967295",
        "u64" | "usize" => "a whole number, not below 0",
        "a nonzero u32" => "a whole number, 1 to 4294967295",
        "f64" => "a number",
        "a sequence" => "a list",
        section if section == "a map" || section.starts_with("struct ") => &format!("a section: [{key}]"),
        other => other,
    };
    format!("{what}expected {expected}")
}
