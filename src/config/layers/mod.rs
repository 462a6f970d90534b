//! Merges the layers of the configuration, and remembers where each key was given.
//!
//! The order, from lowest to highest: the defaults, the file, the keys of a source of a list,
//! `--set`, and `--set source.NAME.key=value`. Each source has layers of its own. Start with
//! [`Layers::read`].

pub(crate) mod environment;
pub(crate) mod layer;
mod secret_command;
pub(crate) mod sources;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use serde::de::DeserializeOwned;
use toml::{Table, Value};

pub(crate) use crate::config::layers::layer::ConfigError;
use crate::{
    config::{
        Overrides,
        layers::layer::{ARGUMENT, Layer, SetArgument},
        nearest,
    },
    system::files,
};

/// The values of the keys that nobody gives. `config.toml` documents them.
const DEFAULTS: &str = include_str!("../defaults.toml");
/// The place of a default in messages.
const DEFAULTS_NAME: &str = "the defaults";
/// The configuration file, if `--config` does not name one.
const DEFAULT_PATH: &str = "config.toml";
/// The largest configuration or catalog file, in bytes.
pub(crate) const MOST_BYTES: u64 = 1 << 20;

/// The merged layers of one source. A key is `section.key`: a higher layer replaces its value as a
/// whole, so that a secret from a file is never mixed with one from the environment.
#[derive(Clone)]
pub(crate) struct Layers {
    table: Table,
    /// Where each key was given last, keys inside values included.
    origins: BTreeMap<String, ValueOrigin>,
    /// The configuration file, which need not exist.
    file: PathBuf,
    /// Whether there is a file or an argument, so that somebody has configured something.
    is_given: bool,
    /// The name of the source, if it is one of a list.
    listed: Option<String>,
}

/// Where a key was given and what it is called there: in a source of a list, `auth.cache` is
/// `source.emea.auth.cache`.
#[derive(Clone)]
struct ValueOrigin {
    place: String,
    key: String,
}

impl Layers {
    /// Reads the layers of each source.
    ///
    /// # Errors
    /// If the file cannot be read or is not TOML, or if an argument or the list of sources is
    /// invalid.
    pub(crate) fn read(overrides: &Overrides) -> Result<Vec<Self>, ConfigError> {
        let path = overrides.path.as_deref().unwrap_or(Path::new(DEFAULT_PATH));
        let name = path.display().to_string();
        let text = match files::read_text(path, MOST_BYTES) {
            Ok(text) => Some(text),
            Err(error) if overrides.path.is_none() && error.is_missing() => None,
            Err(error) => {
                let message = format!("{error}; name another file with --config");
                return Err(ConfigError::at(name, message));
            }
        };
        let mut layers = Self {
            table: Table::new(),
            origins: BTreeMap::new(),
            file: path.to_owned(),
            is_given: text.is_some() || !overrides.set.is_empty(),
            listed: None,
        };
        layers.merge_file(Layer::read(DEFAULTS, DEFAULTS_NAME)?);
        let mut file = match text {
            Some(text) => Layer::read(&text, &name)?,
            None => Layer::default(),
        };
        let sources = sources::take(&mut file)?;
        layers.merge_file(file);
        let mut arguments = overrides
            .set
            .iter()
            .map(|set| SetArgument::read(set))
            .collect::<Result<Vec<_>, _>>()?;
        let Some(sources) = sources else {
            for SetArgument { keys, value } in &arguments {
                layers.merge_argument(keys, keys, value);
            }
            return Ok(vec![layers]);
        };
        arguments.sort_by_key(sources::is_addressed);
        let names: Vec<_> = sources.iter().map(|(name, _)| name.clone()).collect();
        let mut of_sources = Vec::new();
        for (name, own) in sources {
            let mut layers = layers.clone();
            layers.merge_source(&name, own);
            for argument in &arguments {
                if let Some(keys) = sources::addressed(argument, &name, &names)? {
                    layers.merge_argument(&keys, &argument.keys, &argument.value);
                }
            }
            of_sources.push(layers);
        }
        Ok(of_sources)
    }

    /// The configuration file, which need not exist.
    pub(crate) fn file(&self) -> &Path {
        &self.file
    }

    /// Whether `key` was given on the command line.
    pub(crate) fn is_argument(&self, key: &str) -> bool {
        self.origin(key).is_some_and(|(origin, _)| origin.place == ARGUMENT)
    }

    /// The name of the source, if it is one of a list.
    pub(crate) fn listed(&self) -> Option<&str> {
        self.listed.as_deref()
    }

    /// The name of the source, if it has one.
    pub(crate) fn name(&self) -> Option<&str> {
        self.table.get("source")?.get("name")?.as_str()
    }

    /// Checks that there is a configuration.
    ///
    /// # Errors
    /// If there is neither a file nor an argument.
    pub(crate) fn ensure_given(&self) -> Result<(), ConfigError> {
        if self.is_given {
            return Ok(());
        }
        Err(ConfigError::at(
            DEFAULT_PATH,
            "there is no such file in this folder: write one, or name another with --config FILE; \
             to try the simulator, add `--set source.region=sandbox \
             --set job.from=2024-01-01T00:00:00Z --set job.to=2024-01-11T00:00:00Z`",
        ))
    }

    /// Resolves the path that `key` gives: `~` is the home folder, and a relative path is relative
    /// to the folder of the configuration file, or to the working directory for `--set`.
    ///
    /// # Errors
    /// If the path is the URL of another store, or names a home folder that is not known.
    pub(crate) fn resolve(&self, key: &str, path: &Path) -> Result<PathBuf, ConfigError> {
        if let Some(scheme) = path.to_str().and_then(scheme) {
            let message = format!(
                "`{}` is not a path on this machine: `{scheme}` is not supported, so write to a \
                 folder and copy it from there",
                path.display()
            );
            return Err(self.error(key, message));
        }
        let first = path.components().next().map(|first| first.as_os_str().to_string_lossy());
        match first {
            Some(first) if first == "~" => {
                let Some(home) = std::env::home_dir() else {
                    let message = "the home folder is not known: write the path in full";
                    return Err(self.error(key, message));
                };
                Ok(home.join(path.strip_prefix("~").unwrap_or(path)))
            }
            Some(first) if first.starts_with('~') => {
                let message = format!("`{first}` is not supported: write the path in full");
                Err(self.error(key, message))
            }
            _ => Ok(self.base(key).join(path)),
        }
    }

    /// The folder that a relative path at `key` is relative to.
    fn base(&self, key: &str) -> &Path {
        let origin = self.origin(key).map(|(origin, _)| origin.place.as_str());
        match origin {
            Some(ARGUMENT) => Path::new(""),
            _ => self.file.parent().unwrap_or(Path::new("")),
        }
    }

    fn merge_file(&mut self, layer: Layer) {
        for (path, place) in layer.places {
            self.record(path.clone(), ValueOrigin { place, key: path });
        }
        for (section, value) in layer.table {
            self.merge(section, value);
        }
    }

    /// Merges the keys of the source `name` of a list.
    fn merge_source(&mut self, name: &str, own: Layer) {
        self.listed = Some(name.to_owned());
        for (path, place) in own.places {
            self.record(
                sources::place_of(&path),
                ValueOrigin { place, key: format!("source.{name}.{path}") },
            );
        }
        for (key, value) in own.table {
            let path = sources::place_of(&key);
            let keys: Vec<_> = path.split('.').map(str::to_owned).collect();
            self.merge_at(&keys, value);
        }
    }

    /// Merges one argument, which was written as `typed`.
    fn merge_argument(&mut self, keys: &[String], typed: &[String], value: &Value) {
        let key = keys.iter().take(2).map(String::as_str).collect::<Vec<_>>().join(".");
        let typed = typed[..typed.len() - keys.len().saturating_sub(2)].join(".");
        self.record(key, ValueOrigin { place: ARGUMENT.to_owned(), key: typed });
        let section = ValueOrigin { place: ARGUMENT.to_owned(), key: keys[0].clone() };
        self.origins.entry(keys[0].clone()).or_insert(section);
        self.merge_at(keys, value.clone());
    }

    fn merge_at(&mut self, keys: &[String], value: Value) {
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

    /// Records where a key was given. Its value is replaced as a whole, so the origins of keys
    /// inside the old value are dropped.
    fn record(&mut self, path: String, origin: ValueOrigin) {
        if path.matches('.').count() == 1 {
            let inside = format!("{path}.");
            let old = self.origins.range(inside.clone()..).map(|(other, _)| other);
            let old: Vec<_> = old.take_while(|other| other.starts_with(&inside)).cloned().collect();
            for other in old {
                self.origins.remove(&other);
            }
        }
        self.origins.insert(path, origin);
    }

    /// Reads the merged layers as a type.
    ///
    /// # Errors
    /// If a key is unknown or a value has the wrong type.
    pub(crate) fn parse<T: DeserializeOwned>(&self) -> Result<T, ConfigError> {
        serde_path_to_error::deserialize(Value::Table(self.table.clone())).map_err(|error| {
            let message = error.inner().message().trim().to_owned();
            let path = error.path().to_string();
            let unknown =
                message.strip_prefix("unknown field `").and_then(|rest| rest.split('`').next());
            let key = match unknown {
                Some(unknown) if path == "." => unknown.to_owned(),
                Some(unknown) if !path.ends_with(unknown) => format!("{path}.{unknown}"),
                _ => path,
            };
            self.error(&key, in_toml_terms(&message, &key))
        })
    }

    /// Where `key`, or the value that contains it, was given; with the part of `key` that leads to
    /// that value. `None` if it was not given.
    fn origin(&self, key: &str) -> Option<(&ValueOrigin, usize)> {
        let mut known = key;
        // the origin of a section tells nothing about its keys
        while known == key || known.contains('.') {
            if let Some(origin) = self.origins.get(known) {
                return Some((origin, known.len()));
            }
            known = known.rfind(['.', '[']).map_or("", |end| &known[..end]);
        }
        None
    }

    /// Returns an error about `key` with the place where it was given.
    pub(crate) fn error(&self, key: &str, message: impl Into<String>) -> ConfigError {
        let (place, key) = match (self.origin(key), self.listed.as_deref()) {
            (Some((origin, length)), _) => {
                (origin.place.clone(), format!("{}{}", origin.key, &key[length..]))
            }
            (None, Some(source)) => (self.file.display().to_string(), sources::key_of(source, key)),
            (None, None) => (self.file.display().to_string(), key.to_owned()),
        };
        ConfigError { key: format!("{key}: "), ..ConfigError::at(place, message) }
    }
}

/// The scheme of a URL, such as `s3`. `None` for a path, also for one with a drive letter.
fn scheme(text: &str) -> Option<&str> {
    let (scheme, _) = text.split_once("://")?;
    let is_scheme =
        scheme.len() > 1 && scheme.chars().all(|c| c.is_ascii_alphanumeric() || c == '+');
    is_scheme.then_some(scheme)
}

/// Rewrites serde's message in TOML's terms.
fn in_toml_terms(message: &str, key: &str) -> String {
    if let Some(rest) = message.strip_prefix("unknown field `") {
        // the name, and then the known ones, each in such quotes
        let names: Vec<_> = rest.split('`').step_by(2).collect();
        let suggestion = names.split_first().map(|(unknown, known)| {
            nearest::suggestion(unknown, known.iter().copied().filter(|name| !name.is_empty()))
        });
        return format!("unknown key `{rest}{}", suggestion.unwrap_or_default());
    }
    let Some((what, expected)) = message.rsplit_once("expected ") else {
        return message.to_owned();
    };
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
