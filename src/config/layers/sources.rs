//! `[[source]]`: the sources of a list, each with keys of its own.

use toml::Value;

use crate::config::layers::layer::{ConfigError, Layer, SetArgument};

/// The sections that a source of a list may have.
const SECTIONS: [&str; 7] = ["auth", "budget", "fetch", "retry", "filter", "privacy", "sandbox"];
/// The most sources of a list: each reads the whole configuration.
const MOST_SOURCES: usize = 1_000;
/// The most characters of a name.
const NAME_LIMIT: usize = 64;

/// Takes the list of sources out of a file, by name and in order. `None` if it has no list.
///
/// # Errors
/// If the list is empty, or a name is missing, invalid or not unique.
pub(crate) fn take(file: &mut Layer) -> Result<Option<Vec<(String, Layer)>>, ConfigError> {
    if !matches!(file.table.get("source"), Some(Value::Array(_))) {
        return Ok(None);
    }
    let Some(Value::Array(items)) = file.table.remove("source") else { return Ok(None) };
    if items.len() > MOST_SOURCES {
        let place = file.places.get("source").cloned().unwrap_or_default();
        let message =
            format!("source: the list has {} sources: at most {MOST_SOURCES}", items.len());
        return Err(ConfigError::at(place, message));
    }
    let mut sources: Vec<(String, Layer)> = Vec::new();
    for (index, item) in items.into_iter().enumerate() {
        let path = format!("source[{index}]");
        let place =
            file.places.get(&path).or(file.places.get("source")).cloned().unwrap_or_default();
        let error = |message| ConfigError::at(&place, message);
        let Value::Table(table) = item else {
            return Err(error("source: an element is not a section: write [[source]]".into()));
        };
        let name = name(&table).map_err(error)?;
        // a file system may not distinguish case
        if sources.iter().any(|(other, _)| other.eq_ignore_ascii_case(&name)) {
            return Err(error(format!(
                "source.name: two sources are called `{name}`: each needs a folder of its own"
            )));
        }
        let inside = format!("{path}.");
        let own = |(path, place): (&String, &String)| {
            Some((path.strip_prefix(&inside)?.to_owned(), place.clone()))
        };
        let places = file.places.iter().filter_map(own).collect();
        sources.push((name, Layer { table, places }));
    }
    if sources.is_empty() {
        let place = file.places.get("source").cloned().unwrap_or_default();
        return Err(ConfigError::at(
            place,
            "source: the list is empty: write at least one [[source]]",
        ));
    }
    file.places.retain(|path, _| !path.starts_with("source"));
    Ok(Some(sources))
}

fn name(source: &toml::Table) -> Result<String, String> {
    let Some(Value::String(name)) = source.get("name") else {
        return Err(
            "source.name: missing: a source of a list needs a name, such as \"emea\"".to_owned()
        );
    };
    match is_valid_name(name) {
        true => Ok(name.clone()),
        false => Err(format!("source.name: {}", invalid_name(name))),
    }
}

/// Whether a name can be used for a folder and in `--set source.NAME.key=value`.
pub(crate) fn is_valid_name(name: &str) -> bool {
    name.len() <= NAME_LIMIT
        && name.starts_with(|first: char| first.is_ascii_alphanumeric())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
}

/// The message for a name that is not valid.
pub(crate) fn invalid_name(name: &str) -> String {
    format!(
        "`{name}` is not a valid name of a source: expected letters, digits, `-` and `_`, at most \
         {NAME_LIMIT}"
    )
}

/// The key of the whole file that a source's own key sets.
pub(crate) fn place_of(own: &str) -> String {
    match own.split(['.', '[']).next() {
        Some(section) if SECTIONS.contains(&section) => own.to_owned(),
        Some("datasets") => format!("job.{own}"),
        _ => format!("source.{own}"),
    }
}

/// The source's own key for a key of the whole file, as it is written after `--set`.
pub(crate) fn key_of(name: &str, key: &str) -> String {
    match key.split_once('.') {
        Some(("source", own)) => format!("source.{name}.{own}"),
        Some((section, _)) if SECTIONS.contains(&section) => format!("source.{name}.{key}"),
        _ => key.to_owned(),
    }
}

/// Whether an argument is for one source of a list: `source.NAME.key=value`.
pub(crate) fn is_addressed(set: &SetArgument) -> bool {
    set.keys[0] == "source" && set.keys.len() > 2
}

/// The key path of an argument for the source `name`. `None` if it is for another source.
///
/// # Errors
/// If it is for a source that does not exist.
pub(crate) fn addressed(
    set: &SetArgument,
    name: &str,
    names: &[String],
) -> Result<Option<Vec<String>>, ConfigError> {
    if !is_addressed(set) {
        return Ok(Some(set.keys.clone()));
    }
    if !names.contains(&set.keys[1]) {
        let place = format!("--set {}", set.keys.join("."));
        return Err(ConfigError::at(place, unknown(&set.keys[1], names)));
    }
    let own = || place_of(&set.keys[2..].join(".")).split('.').map(str::to_owned).collect();
    Ok((set.keys[1] == name).then(own))
}

/// The message for a source that does not exist.
pub(crate) fn unknown(name: &str, names: &[String]) -> String {
    format!("there is no source `{name}`: there are {}", names.join(", "))
}
