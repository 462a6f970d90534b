//! The layers of the configuration, and where each key was said.
//!
//! The built-in values, over them the file, over that what a source of a list says for itself, over
//! that `--set`, and over all `--set source.NAME.key=value`. Each source has layers of its own.

pub(crate) mod environment;
pub(crate) mod layer;
pub(crate) mod sources;

use std::{
    collections::HashMap,
    io,
    path::{Path, PathBuf},
};

use serde::de::DeserializeOwned;
use toml::{Table, Value};

pub(crate) use crate::config::layers::layer::ConfigError;
use crate::config::{
    Overrides,
    layers::layer::{ARGUMENT, Layer, SetArgument},
};

/// The file that documents every key is also the lowest layer.
const DEFAULTS: &str = include_str!("../../../config.toml");
/// The name of that layer in messages.
const BUILT_IN: &str = "the built-in config.toml";
/// What `--config` is where it is not given.
const DEFAULT_PATH: &str = "config.toml";

/// All layers of one source as one. A key is `section.key`: an upper layer replaces its value whole,
/// so that a secret from a file is never mixed with one from the environment.
#[derive(Clone)]
pub(crate) struct Layers {
    table: Table,
    /// Where each key was said last, those inside values included.
    said: HashMap<String, ValueOrigin>,
    /// Where a key would be said that nobody said.
    main: PathBuf,
    /// The name of the source, if it is one of a list.
    listed: Option<String>,
}

/// Where a key was said, and as what: a source of a list says `auth.cache` as `source.emea.auth.cache`.
#[derive(Clone)]
struct ValueOrigin {
    place: String,
    key: String,
}

impl Layers {
    /// Reads the layers of each source.
    pub(crate) fn read(overrides: &Overrides) -> Result<Vec<Self>, ConfigError> {
        let path = overrides.path.as_deref().unwrap_or(Path::new(DEFAULT_PATH));
        let mut layers =
            Self { table: Table::new(), said: HashMap::new(), main: path.to_owned(), listed: None };
        layers.lay(Layer::read(DEFAULTS, BUILT_IN)?);
        let name = path.display().to_string();
        let mut file = match std::fs::read_to_string(path) {
            Ok(text) => Layer::read(&text, &name)?,
            Err(error) if overrides.path.is_none() && error.kind() == io::ErrorKind::NotFound => {
                Layer::default()
            }
            Err(error) => {
                return Err(ConfigError::at(
                    name,
                    format!("cannot be read: {error}; give its path with --config"),
                ));
            }
        };
        let sources = sources::take(&mut file)?;
        layers.lay(file);
        let mut sets = overrides
            .set
            .iter()
            .map(|set| SetArgument::read(set))
            .collect::<Result<Vec<_>, _>>()?;
        let Some(sources) = sources else {
            sets.iter().for_each(|SetArgument { keys, value }| layers.set(keys, keys, value));
            return Ok(vec![layers]);
        };
        sets.sort_by_key(sources::is_addressed);
        let names: Vec<_> = sources.iter().map(|(name, _)| name.clone()).collect();
        let own = |(name, own): (String, Layer)| {
            let mut layers = layers.clone();
            layers.own(&name, own);
            for set in &sets {
                if let Some(keys) = sources::addressed(set, &name, &names)? {
                    layers.set(&keys, &set.keys, &set.value);
                }
            }
            Ok(layers)
        };
        sources.into_iter().map(own).collect()
    }

    /// The name of the source, if it is one of a list.
    pub(crate) fn listed(&self) -> Option<&str> {
        self.listed.as_deref()
    }

    /// The name of the source, if it has one.
    pub(crate) fn name(&self) -> Option<&str> {
        self.table.get("source")?.get("name")?.as_str()
    }

    /// A path that is relative to the configuration file.
    pub(crate) fn beside(&self, path: &Path) -> PathBuf {
        self.main.parent().unwrap_or(Path::new("")).join(path)
    }

    /// Lays a file over what is there.
    fn lay(&mut self, layer: Layer) {
        for (path, place) in layer.places {
            self.say(path.clone(), ValueOrigin { place, key: path });
        }
        for (section, value) in layer.table {
            self.merge(section, value);
        }
    }

    /// Lays what a source of a list says for itself over what is there.
    fn own(&mut self, name: &str, own: Layer) {
        self.listed = Some(name.to_owned());
        for (path, place) in own.places {
            self.say(
                sources::place_of(&path),
                ValueOrigin { place, key: format!("source.{name}.{path}") },
            );
        }
        for (key, value) in own.table {
            let path = sources::place_of(&key);
            let keys: Vec<_> = path.split('.').map(str::to_owned).collect();
            self.put(&keys, value);
        }
    }

    /// Lays one argument, that was said as `typed`, over what is there.
    fn set(&mut self, keys: &[String], typed: &[String], value: &Value) {
        let key = keys.iter().take(2).map(String::as_str).collect::<Vec<_>>().join(".");
        let typed = typed[..typed.len() - keys.len().saturating_sub(2)].join(".");
        self.say(key, ValueOrigin { place: ARGUMENT.to_owned(), key: typed });
        let section = ValueOrigin { place: ARGUMENT.to_owned(), key: keys[0].clone() };
        self.said.entry(keys[0].clone()).or_insert(section);
        self.put(keys, value.clone());
    }

    fn put(&mut self, keys: &[String], value: Value) {
        let nest = |value, key: &String| Value::Table(Table::from_iter([(key.clone(), value)]));
        let value = keys.iter().skip(1).rev().fold(value, nest);
        self.merge(keys[0].clone(), value);
    }

    fn merge(&mut self, section: String, value: Value) {
        match (self.table.get_mut(&section), value) {
            (Some(Value::Table(old)), Value::Table(new)) => old.extend(new),
            (_, value) => drop(self.table.insert(section, value)),
        }
    }

    /// Notes where a key was said. A value is replaced whole, and so what was said inside it.
    fn say(&mut self, path: String, said: ValueOrigin) {
        if path.matches('.').count() == 1 {
            let inside = format!("{path}.");
            self.said.retain(|other, _| !other.starts_with(&inside));
        }
        self.said.insert(path, said);
    }

    /// The layers as a type.
    ///
    /// # Errors
    /// An unknown key or a value of the wrong type.
    pub(crate) fn parse<T: DeserializeOwned>(&self) -> Result<T, ConfigError> {
        serde_path_to_error::deserialize(Value::Table(self.table.clone())).map_err(|error| {
            let message = error.inner().message().trim().to_owned();
            let path = error.path().to_string();
            let key = match message
                .strip_prefix("unknown field `")
                .and_then(|rest| rest.split('`').next())
            {
                Some(unknown) if path == "." => unknown.to_owned(),
                Some(unknown) if !path.ends_with(unknown) => format!("{path}.{unknown}"),
                _ => path,
            };
            self.wrong(&key, in_words(&message, &key))
        })
    }

    /// Whether nobody said `key`, so that its value is the built-in one.
    pub(crate) fn is_built_in(&self, key: &str) -> bool {
        self.said.get(key).is_some_and(|said| said.place.starts_with(BUILT_IN))
    }

    /// An error about `key`, at the place where it was said.
    pub(crate) fn wrong(&self, key: &str, message: impl Into<String>) -> ConfigError {
        let mut known = key;
        // a section alone says nothing about its keys
        while known == key || known.contains('.') {
            if let Some(said) = self.said.get(known) {
                let key = format!("{}{}: ", said.key, &key[known.len()..]);
                return ConfigError { place: said.place.clone(), key, message: message.into() };
            }
            known = known.rfind(['.', '[']).map_or("", |end| &known[..end]);
        }
        let key = self.listed.as_deref().map_or(key.to_owned(), |name| sources::key_of(name, key));
        ConfigError {
            place: self.main.display().to_string(),
            key: format!("{key}: "),
            message: message.into(),
        }
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
        section if section == "a map" || section.starts_with("struct ") => {
            &format!("a section: [{key}]")
        }
        other => other,
    };
    format!("{what}expected {expected}")
}
