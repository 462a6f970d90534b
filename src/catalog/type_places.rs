//! Where the types of a dataset stand in its rows, and which fields they leave out on purpose.
//!
//! A place is the pattern of a path, as [`join`] writes it: `participants[].sessions[]`. The row is
//! at the empty pattern.

use std::{collections::BTreeMap, fmt::Write as _};

use arrow::datatypes::{DataType, Fields};

use crate::catalog::{
    InvalidKey, WireForm,
    schema::{Types, nested_fields},
};

/// The most fields that a row may leave out on purpose, those of the types inside it included.
const MOST_IGNORED: usize = 5_000;

/// The types inside a row, and the fields that they leave out on purpose.
#[derive(Debug, Default)]
pub(crate) struct TypePlaces {
    /// The name of the type at each place.
    pub types: BTreeMap<String, String>,
    /// The forms of the columns that have one, by their places.
    pub forms: BTreeMap<String, WireForm>,
    /// The patterns of the paths that are left out.
    pub ignored: Vec<String>,
}

impl TypePlaces {
    /// The places of the type `row`, whose columns are `fields`, and of the types inside it.
    ///
    /// # Errors
    /// If a field is both a column and left out, or if too many are left out.
    pub(crate) fn new(types: &Types, row: &str, fields: &Fields) -> Result<Self, InvalidKey> {
        let mut places = Self::default();
        places.add(types, row, fields, String::new())?;
        Ok(places)
    }

    fn add(
        &mut self,
        types: &Types,
        name: &str,
        fields: &Fields,
        place: String,
    ) -> Result<(), InvalidKey> {
        for (key, entry) in types.get(name).into_iter().flatten() {
            for ignored in entry.as_ref().ignored() {
                let key = format!("type.{name}.{key}");
                if fields.find(ignored).is_some() {
                    let reason = format!("`{ignored}` is a column of this type: leave one out");
                    return Err(InvalidKey::new(&key, reason));
                }
                if self.ignored.len() == MOST_IGNORED {
                    let reason = format!(
                        "with it a row leaves out more than {MOST_IGNORED} fields, those of the \
                         types inside it included"
                    );
                    return Err(InvalidKey::new(&key, reason));
                }
                self.ignored.push(join(&place, ignored));
            }
        }
        for field in fields {
            let column = types.get(name).and_then(|keys| keys.get(field.name()));
            let mut inner = column.and_then(|entry| entry.as_ref().column_type());
            let (mut place, mut data_type) = (join(&place, field.name()), field.data_type());
            while let DataType::List(element) = data_type {
                place.push_str("[]");
                data_type = element.data_type();
                inner = inner
                    .and_then(|text| text.strip_prefix("list<"))
                    .and_then(|text| text.strip_suffix('>'));
            }
            if let Some(form) = inner.and_then(WireForm::read) {
                self.forms.insert(place, form);
            } else if let (Some(inner), DataType::Struct(fields)) = (inner, data_type) {
                self.add(types, inner, fields, place)?;
            }
        }
        self.types.insert(place, name.to_owned());
        Ok(())
    }
}

/// The pattern of the field `name` of what is at `place`. A name that could be taken for something
/// else stands in brackets, as in JavaScript: `attributes["first name"]`.
pub(crate) fn join(place: &str, name: &str) -> String {
    let mut path = place.to_owned();
    let is_plain = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '$' | '@' | ':');
    if name.is_empty() || !name.chars().all(is_plain) {
        // writing to a string does not fail
        let _ = write!(path, "[{}]", serde_json::Value::from(name));
        return path;
    }
    if !path.is_empty() {
        path.push('.');
    }
    path.push_str(name);
    path
}

/// The names in a pattern, in their order, without the marks of lists. `None` if it is not written
/// like a pattern.
pub(crate) fn names_in_pattern(pattern: &str) -> Option<Vec<String>> {
    names(pattern, |rest| rest.strip_prefix("[]"))
}

/// The names in the path of a value, in their order, without the positions in lists. `None` if it
/// is not written like a path.
pub(crate) fn names_in_path(path: &str) -> Option<Vec<String>> {
    names(path, |rest| {
        let rest = rest.strip_prefix('[')?;
        let after = rest.trim_start_matches(|c: char| c.is_ascii_digit());
        after.strip_prefix(']').filter(|_| after.len() < rest.len())
    })
}

/// The names in a text; `after_element` returns the rest after the mark of an element of a list.
fn names(text: &str, after_element: impl Fn(&str) -> Option<&str>) -> Option<Vec<String>> {
    let mut names = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        if let Some(after) = after_element(rest) {
            rest = after;
        } else if let Some(quoted) = rest.strip_prefix('[') {
            let mut texts = serde_json::Deserializer::from_str(quoted).into_iter::<String>();
            names.push(texts.next()?.ok()?);
            rest = quoted.get(texts.byte_offset()..)?.strip_prefix(']')?;
        } else {
            rest = rest.strip_prefix('.').unwrap_or(rest);
            let end = rest.find(['.', '[']).unwrap_or(rest.len());
            let (name, after) = rest.split_at(end);
            if name.is_empty() {
                return None;
            }
            names.push(name.to_owned());
            rest = after;
        }
    }
    (!names.is_empty()).then_some(names)
}

/// The pattern of the column to which these names lead, through structs and lists.
pub(crate) fn place_of<'n>(fields: &Fields, names: impl IntoIterator<Item = &'n str>) -> String {
    let (mut place, mut fields) = (String::new(), fields.clone());
    let mut lists = 0;
    for name in names {
        place.push_str(&"[]".repeat(lists));
        place = join(&place, name);
        let Some((_, field)) = fields.find(name) else { continue };
        let mut data_type = field.data_type().clone();
        lists = 0;
        while let DataType::List(element) = &data_type {
            lists += 1;
            data_type = element.data_type().clone();
        }
        fields = nested_fields(&data_type);
    }
    place
}

/// Whether a column is at `path`.
pub(crate) fn is_column(fields: &Fields, path: &str) -> bool {
    has_column(fields, "", path)
}

fn has_column(fields: &Fields, outer: &str, path: &str) -> bool {
    fields.iter().any(|field| {
        let (mut place, mut data_type) = (join(outer, field.name()), field.data_type());
        if place == path {
            return true;
        }
        while let DataType::List(element) = data_type {
            place.push_str("[]");
            data_type = element.data_type();
        }
        match data_type {
            DataType::Struct(fields) if path.starts_with(&place) => {
                has_column(fields, &place, path)
            }
            _ => false,
        }
    })
}

/// The name of the field at `path`, and the type that it would be a column of. `None` if no type of
/// `types` stands there.
pub(crate) fn split<'t>(
    types: &'t BTreeMap<String, String>,
    path: &str,
) -> Option<(String, &'t str)> {
    types.iter().find_map(|(place, of)| {
        let rest = path.strip_prefix(place.as_str())?;
        let name = match rest.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            Some(quoted) => serde_json::from_str(quoted).ok()?,
            None => rest.strip_prefix('.').unwrap_or(rest).to_owned(),
        };
        (join(place, &name) == path).then_some((name, of.as_str()))
    })
}

#[cfg(test)]
mod tests {
    use super::{names_in_path, names_in_pattern};
    use crate::catalog::{builtin, read};

    /// A catalog whose types stand at several places.
    const CATALOG: &str = r#"
[dataset.calls]
version = 1
id = "no"
time = "at"
columns = "call"
query = { path = "/calls", rows = "" }

[type.call]
no = "int64"
at = "timestamp"
legs = "list<list<leg>>"
queue = "reference"
ignore = ["selfUri", "first name"]

[type.leg]
score = "double"
agent = "reference"

[type.reference]
id = "string"
ignore = ["selfUri"]
"#;

    #[test]
    fn the_fields_that_a_type_ignores_are_ignored_wherever_it_stands() {
        let dataset = &read("own.toml", CATALOG).unwrap().datasets["calls"];
        let expected = ["selfUri", "[\"first name\"]", "legs[][].agent.selfUri", "queue.selfUri"];
        let mut ignored = dataset.ignore.clone();
        ignored.sort_by_key(|path| expected.iter().position(|other| other == path));
        assert_eq!(ignored, expected);
    }

    #[test]
    fn an_ignored_field_that_is_a_column_too_is_refused() {
        let catalog = CATALOG.replace("[\"selfUri\"]", "[\"id\"]");
        let error = read("own.toml", &catalog).unwrap_err().to_string();
        let expected =
            "own.toml: type.reference.ignore: `id` is a column of this type: leave one out";
        assert_eq!(error, expected);
    }

    #[test]
    fn a_list_under_another_key_than_ignore_is_refused() {
        let catalog = CATALOG.replace("ignore = [\"selfUri\"]", "ignored = [\"selfUri\"]");
        let error = read("own.toml", &catalog).unwrap_err().to_string();
        assert!(
            error.starts_with("own.toml: type.reference.ignored: a list is the value"),
            "{error}"
        );
    }

    #[test]
    fn a_new_field_would_become_a_column_of_the_type_that_stands_at_its_place() {
        let dataset = &read("own.toml", CATALOG).unwrap().datasets["calls"];
        for (path, value_type, expected) in [
            ("late", "boolean", Some(("call", "late = \"boolean\""))),
            ("[\"x y\"]", "string", Some(("call", "\"x y\" = \"string\""))),
            ("legs[][].length", "number", Some(("leg", "length = \"double\""))),
            ("legs[][].agent.tags", "list", Some(("reference", "tags = \"list<string>\""))),
            ("no.where", "object", None),
        ] {
            let line = dataset.column_line(path, value_type);
            let line = line.as_ref().map(|(of, line)| (*of, line.as_str()));
            assert_eq!(line, expected, "{path}");
        }
    }

    #[test]
    fn columns_that_only_jobs_return_are_ignored_where_they_are_not_wanted() {
        let conversations = &builtin("genesys-cloud").unwrap().datasets["conversations"];
        let attributes = "participants[].attributes".to_owned();
        assert!(conversations.without_extras().ignore.contains(&attributes));
        assert!(!conversations.ignore.contains(&attributes));
    }

    #[test]
    fn the_names_of_patterns_and_paths_are_read_back() {
        for (pattern, path, names) in [
            (
                "participants[].sessions[].media",
                "participants[0].sessions[12].media",
                &["participants", "sessions", "media"][..],
            ),
            ("participants.sessions", "participants.sessions", &["participants", "sessions"]),
            (r#"a["b.c"].d"#, r#"a["b.c"].d"#, &["a", "b.c", "d"]),
            (r#"a[][]["[0]"]"#, r#"a[1][2]["[0]"]"#, &["a", "[0]"]),
            (r#"["a \"b\""]"#, r#"["a \"b\""]"#, &["a \"b\""]),
        ] {
            let names: Vec<_> = names.iter().map(|&name| name.to_owned()).collect();
            assert_eq!(names_in_pattern(pattern).as_ref(), Some(&names), "{pattern}");
            assert_eq!(names_in_path(path), Some(names), "{path}");
        }
        for pattern in ["", "a..b", "a[0]", "a[\"b\"", "a."] {
            assert_eq!(names_in_pattern(pattern), None, "{pattern}");
        }
        for path in ["", "a..b", "a[]", "a[0", "a[x]"] {
            assert_eq!(names_in_path(path), None, "{path}");
        }
    }
}
