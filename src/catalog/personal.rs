//! Which columns hold personal data, so that `[privacy]` can hide them without naming each.

use std::collections::BTreeMap;

use arrow::datatypes::DataType;
use serde::Deserialize;

use crate::catalog::{
    Dataset, InvalidKey,
    schema::{self, Types},
    type_places::names_in_pattern,
};

/// What the file says about the columns of a type: paths from there, such as `user.name`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PersonalEntry {
    #[serde(default)]
    identifiers: Vec<String>,
    #[serde(default)]
    free_texts: Vec<String>,
}

/// A column with personal data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PersonalColumn {
    /// The names on its path, through lists and structs.
    pub names: Vec<String>,
    pub kind: PersonalKind,
}

/// What a column with personal data holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PersonalKind {
    /// A telephone number, an address or a name: whether two of them are equal is worth knowing.
    Identifier,
    /// What a person wrote, or what may be anything.
    FreeText,
}

impl PersonalEntry {
    fn paths(&self) -> impl Iterator<Item = (PersonalKind, &String)> {
        let identifiers = self.identifiers.iter().map(|path| (PersonalKind::Identifier, path));
        identifiers.chain(self.free_texts.iter().map(|path| (PersonalKind::FreeText, path)))
    }
}

/// Checks that each path leads to a column of its type: an identifier to a text, a list of texts or
/// a map.
pub(super) fn check(
    entries: &BTreeMap<String, PersonalEntry>,
    types: &Types,
) -> Result<(), InvalidKey> {
    for (of, entry) in entries {
        if !types.contains_key(of) {
            let reason = "there is no such type in this file";
            return Err(InvalidKey::new(&format!("personal.{of}"), reason));
        }
        let columns = DataType::Struct(schema::columns(types, of)?);
        for (kind, path) in entry.paths() {
            let (key, expected) = match kind {
                PersonalKind::Identifier => ("identifiers", "a text, a list of texts or a map"),
                PersonalKind::FreeText => ("free_texts", "a column"),
            };
            let column = names_in_pattern(path).and_then(|names| schema::inside(&columns, &names));
            let is_text = |column: &DataType| *column == DataType::Utf8 || *column == schema::map();
            if !column.is_some_and(|column| kind == PersonalKind::FreeText || is_text(&column)) {
                let reason = format!("`{path}` does not lead to {expected} of the type `{of}`");
                return Err(InvalidKey::new(&format!("personal.{of}.{key}"), reason));
            }
        }
    }
    Ok(())
}

/// The columns of a dataset that hold personal data, wherever their types stand in it.
pub(super) fn columns(
    entries: &BTreeMap<String, PersonalEntry>,
    dataset: &Dataset,
) -> Vec<PersonalColumn> {
    let mut columns = Vec::new();
    for (place, of) in &dataset.types {
        let outer = names_in_pattern(place).unwrap_or_default();
        for (kind, path) in entries.get(of).into_iter().flat_map(PersonalEntry::paths) {
            let inner = names_in_pattern(path).unwrap_or_default();
            columns.push(PersonalColumn { names: [outer.clone(), inner].concat(), kind });
        }
    }
    columns
}

#[cfg(test)]
mod tests {
    use crate::catalog::read;

    fn error(personal: &str) -> String {
        let catalog = format!(
            "[dataset.calls]\nversion = 1\nid = 'no'\ntime = 'at'\ncolumns = 'call'\n\
             query = {{ path = '/calls', rows = '' }}\n\
             [type.call]\nno = 'int64'\nat = 'timestamp'\nani = 'string'\nlegs = 'list<leg>'\n\
             [type.leg]\nto = 'list<string>'\nseconds = 'int64'\n{personal}\n"
        );
        read("own.toml", &catalog).err().map(|error| error.to_string()).unwrap_or_default()
    }

    #[test]
    fn a_personal_column_must_exist_and_an_identifier_must_be_a_text() {
        for valid in [
            "[personal.call]\nidentifiers = ['ani', 'legs.to', 'legs[].to']\nfree_texts = ['legs']",
            "[personal.leg]\nfree_texts = ['seconds']",
        ] {
            assert_eq!(error(valid), "");
        }
        for (wrong, expected) in [
            ("[personal.cal]\n", "personal.cal: there is no such type in this file"),
            (
                "[personal.call]\nidentifiers = ['anni']",
                "personal.call.identifiers: `anni` does not lead to a text",
            ),
            (
                "[personal.leg]\nidentifiers = ['seconds']",
                "personal.leg.identifiers: `seconds` does not lead to a text",
            ),
            (
                "[personal.leg]\nfree_texts = ['']",
                "personal.leg.free_texts: `` does not lead to a column",
            ),
        ] {
            assert!(error(wrong).contains(expected), "{wrong}: {}", error(wrong));
        }
    }
}
