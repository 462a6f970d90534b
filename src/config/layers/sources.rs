//! `[[source]]`: several sources, and what each says for itself.

use toml::Value;

use crate::config::layers::layer::{ConfigError, Layer, SetArgument};

/// The sections that a source of a list may have for itself.
const SECTIONS: [&str; 6] = ["auth", "budget", "fetch", "retry", "filter", "sandbox"];
/// The longest name of a source.
const LONGEST_NAME: usize = 64;

/// Takes the sources out of a file that has a list of them, by name, in its order.
///
/// # Errors
/// An empty list; a name that is missing, not fit for a directory, or there twice.
pub(crate) fn take(file: &mut Layer) -> Result<Option<Vec<(String, Layer)>>, ConfigError> {
    if !matches!(file.table.get("source"), Some(Value::Array(_))) {
        return Ok(None);
    }
    let Some(Value::Array(items)) = file.table.remove("source") else { return Ok(None) };
    let mut sources: Vec<(String, Layer)> = Vec::new();
    for (index, item) in items.into_iter().enumerate() {
        let path = format!("source[{index}]");
        let place =
            file.places.get(&path).or(file.places.get("source")).cloned().unwrap_or_default();
        let wrong = |message| ConfigError::at(&place, message);
        let Value::Table(table) = item else {
            return Err(wrong("source: each is a section: [[source]]".into()));
        };
        let name = name(&table).map_err(wrong)?;
        // file systems may not tell cases apart
        if sources.iter().any(|(other, _)| other.eq_ignore_ascii_case(&name)) {
            return Err(wrong(format!(
                "source.name: there are two `{name}`: each has a directory of its own"
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
            "source: the list is empty: give at least one [[source]]",
        ));
    }
    file.places.retain(|path, _| !path.starts_with("source"));
    Ok(Some(sources))
}

fn name(source: &toml::Table) -> Result<String, String> {
    let Some(Value::String(name)) = source.get("name") else {
        return Err("source.name: each source of a list needs one, like \"emea\"".to_owned());
    };
    if is_fit(name) { Ok(name.clone()) } else { Err(format!("source.name: {}", unfit(name))) }
}

/// Whether a name can be that of a directory, and stand in `--set source.NAME.key=value`.
pub(crate) fn is_fit(name: &str) -> bool {
    name.len() <= LONGEST_NAME
        && name.starts_with(|first: char| first.is_ascii_alphanumeric())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
}

/// What to say about a name that is not fit.
pub(crate) fn unfit(name: &str) -> String {
    format!(
        "`{name}` is no name of a source: it has letters, digits, - and _, {LONGEST_NAME} at most"
    )
}

/// Where among all sections a source's own key stands.
pub(crate) fn place_of(own: &str) -> String {
    match own.split(['.', '[']).next() {
        Some(section) if SECTIONS.contains(&section) => own.to_owned(),
        Some("datasets") => format!("job.{own}"),
        _ => format!("source.{own}"),
    }
}

/// How the source `name` would say a key for itself.
pub(crate) fn key_of(name: &str, key: &str) -> String {
    match key.split_once('.') {
        Some(("source", own)) => format!("source.{name}.{own}"),
        Some((section, _)) if SECTIONS.contains(&section) => format!("source.{name}.{key}"),
        _ => key.to_owned(),
    }
}

/// Whether an argument is for one source: `source.NAME.key=value`.
pub(crate) fn is_addressed(set: &SetArgument) -> bool {
    set.keys[0] == "source" && set.keys.len() > 2
}

/// The path of an argument for the source `name`; none if it is for another one of the list.
///
/// # Errors
/// Where it is for a source that there is not.
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

/// What to say about a source that there is not.
pub(crate) fn unknown(name: &str, names: &[String]) -> String {
    format!("there is no source `{name}`: there are {}", names.join(", "))
}
