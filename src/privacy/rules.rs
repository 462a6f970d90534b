//! What happens to each column, from paths.

use std::collections::BTreeMap;

use arrow::datatypes::{DataType, Fields};

use crate::{catalog::schema, privacy::Action};

/// What happens to the column at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rule {
    /// The names on the path, through lists and structs. After a map, a name is that of its
    /// entries: `*` in it stands for any characters, and case does not matter.
    pub names: Vec<String>,
    pub action: Action,
}

/// Why a rule cannot be followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum RuleError {
    /// There is no such column.
    NoColumn {
        /// The name that was not found.
        name: String,
        /// The names that are there.
        known: Vec<String>,
    },
    /// The column has another type than the action needs.
    NoText,
    /// The program needs the values as they are, for this reason.
    Needed(&'static str),
    /// The same of a column that the catalog marks as personal.
    MarkedNeeded(&'static str),
    /// The column of values that fit no column, which follows the rules of other columns.
    Extra,
}

/// What happens to a column and to what is inside it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Node {
    /// All of its values.
    Column(Action),
    /// Fields of an object. The lists that contain it are passed.
    Fields {
        /// The columns to which something happens.
        columns: BTreeMap<String, Node>,
        /// What happens to fields that have no column.
        others: Action,
    },
    /// The entries of a map.
    Entries(Entries),
}

/// What happens to the entries of a map.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Entries {
    /// By the patterns of their keys, the longest first.
    patterns: Vec<(String, Action)>,
    /// What happens to the others.
    rest: Action,
}

impl Entries {
    /// What happens to the entry with this key.
    pub(super) fn action(&self, key: &str) -> Action {
        let key = key.to_lowercase();
        let found = self.patterns.iter().find(|(pattern, _)| matches(pattern, &key));
        found.map_or(self.rest, |(_, action)| *action)
    }
}

/// Whether a text in lower case has the form of a pattern, in which `*` stands for any characters.
fn matches(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let Some(last) = parts.next_back() else { return rest.is_empty() };
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

/// Rules by the names on their paths. Of two rules for a column the later one counts, and one for
/// what is inside a column counts more than one for all of it.
#[derive(Debug, Default)]
pub(super) struct RuleTree {
    action: Option<Action>,
    inner: BTreeMap<String, RuleTree>,
}

impl RuleTree {
    pub(super) fn insert(&mut self, rule: &Rule) {
        let mut tree = self;
        for name in &rule.names {
            tree = tree.inner.entry(name.clone()).or_default();
        }
        tree.action = Some(rule.action);
    }

    /// One line for each rule, in order.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        self.write(&mut Vec::new(), &mut text);
        text
    }

    fn write<'t>(&'t self, names: &mut Vec<&'t str>, text: &mut String) {
        if let Some(action) = self.action {
            *text += &format!("{} = {action}\n", serde_json::json!(names));
        }
        for (name, inner) in &self.inner {
            names.push(name);
            inner.write(names, text);
            names.pop();
        }
    }

    /// What happens to these columns.
    pub(super) fn columns(&self, fields: &Fields, inherited: Action) -> BTreeMap<String, Node> {
        let no_rule = Self::default();
        let node = |field: &arrow::datatypes::FieldRef| {
            let tree = self.inner.get(field.name()).unwrap_or(&no_rule);
            Some((field.name().clone(), tree.node(field.data_type(), inherited)?))
        };
        fields.iter().filter_map(node).collect()
    }

    /// What happens to a column of this type. `None` if it is written as it is.
    fn node(&self, data_type: &DataType, inherited: Action) -> Option<Node> {
        let action = self.action.unwrap_or(inherited);
        let is_kept = action == Action::Keep;
        match element(data_type) {
            _ if self.inner.is_empty() => (!is_kept).then_some(Node::Column(action)),
            DataType::Struct(fields) => {
                let columns = self.columns(fields, action);
                let is_written = columns.is_empty() && is_kept;
                (!is_written).then_some(Node::Fields { columns, others: action })
            }
            _ => {
                let pattern = |(key, tree): (&String, &Self)| {
                    (key.to_lowercase(), tree.action.unwrap_or(action))
                };
                let mut patterns: Vec<_> = self.inner.iter().map(pattern).collect();
                patterns.sort_by_key(|(pattern, _)| std::cmp::Reverse(pattern.len()));
                Some(Node::Entries(Entries { patterns, rest: action }))
            }
        }
    }
}

impl Rule {
    /// Checks that the columns have the path, and that the action fits.
    pub(super) fn check(&self, fields: &Fields) -> Result<(), RuleError> {
        let mut data_type = DataType::Struct(fields.clone());
        for name in &self.names {
            data_type = match element(&data_type) {
                DataType::Struct(fields) => match fields.find(name) {
                    Some((_, field)) => field.data_type().clone(),
                    None => return Err(no_column(name, fields)),
                },
                DataType::Map(..) => DataType::Utf8,
                _ => return Err(no_column(name, &Fields::empty())),
            };
        }
        let is_text = matches!(element(&data_type), DataType::Utf8) || data_type == schema::map();
        match self.action {
            Action::Hash | Action::Mask(_) if !is_text => Err(RuleError::NoText),
            _ => Ok(()),
        }
    }
}

fn no_column(name: &str, fields: &Fields) -> RuleError {
    let known = fields.iter().map(|field| field.name().clone()).collect();
    RuleError::NoColumn { name: name.to_owned(), known }
}

/// The type inside all lists.
pub(super) fn element(mut data_type: &DataType) -> &DataType {
    while let DataType::List(field) = data_type {
        data_type = field.data_type();
    }
    data_type
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_stands_for_any_characters_where_it_has_an_asterisk() {
        for (pattern, fits, others) in [
            ("name", &["name"][..], &["names", "a name", ""][..]),
            ("*", &["", "anything"], &[]),
            ("*phone*", &["phone", "my phone number"], &["fone", "phon"]),
            ("a*b*c", &["abc", "axbxc", "abbc"], &["ab", "ac", "abcd", "xabc"]),
            ("ab*b", &["abb", "abxb"], &["ab"]),
        ] {
            assert!(fits.iter().all(|text| matches(pattern, text)), "{pattern}");
            assert!(!others.iter().any(|text| matches(pattern, text)), "{pattern}");
        }
    }
}
