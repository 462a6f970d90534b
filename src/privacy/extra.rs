//! Hides values in `_extra`, the column of values that fit no other column.
//!
//! Its keys are paths and its values raw JSON. A path may lead to a hidden column or to something
//! inside one; to an object that contains a hidden column; or to a field that has no column, so
//! that nobody knows what it holds.

use std::borrow::Cow;

use arrow::datatypes::{DataType, Fields};

use crate::{
    catalog::type_places::names_in_path,
    privacy::{
        Action, HashKey,
        hide::hidden,
        policy::Policy,
        rules::{Node, element},
    },
};

/// The path of a whole row. It is kept in place of its values if too many of these fit no column.
const WHOLE_ROW: &str = "$";

/// Where a path leads.
enum Place<'p> {
    /// To a hidden column, or to something inside one.
    Hidden(Action),
    /// To an object that contains hidden columns.
    AboveHidden,
    /// To a column that is written as it is.
    Column,
    /// To a field that no column has.
    NewField,
    /// To the columns of an object.
    Object(&'p Fields),
}

impl Policy {
    /// What is written of the raw JSON at a path. `None` if nothing is.
    pub(super) fn extra_value<'j>(&self, path: &str, json: &'j str) -> Option<Cow<'j, str>> {
        let names = names_in_path(path).filter(|_| path != WHOLE_ROW)?;
        let holds_others = json.starts_with(['{', '[']);
        match self.place(&names) {
            Place::Hidden(action) => hidden_json(json, action, &self.key),
            Place::AboveHidden => None,
            // fields of an unexpected object or list are as unknown as new ones
            Place::Column | Place::Object(_) if !holds_others => Some(json.into()),
            Place::Column | Place::Object(_) | Place::NewField => {
                self.keeps_new_fields.then(|| json.into())
            }
        }
    }

    fn place(&self, names: &[String]) -> Place<'_> {
        let (mut place, mut nodes) = (Place::Object(&self.fields), Some(&self.columns));
        let mut others = Action::Keep;
        for (depth, name) in names.iter().enumerate() {
            let Place::Object(fields) = place else {
                return match place {
                    Place::Column => Place::NewField,
                    place => place,
                };
            };
            let alias = self.aliases.iter().find(|(alias, _)| depth == 0 && alias == name);
            let name = alias.map_or(name, |(_, column)| column);
            let Some((_, field)) = fields.find(name) else {
                return match others {
                    Action::Keep => Place::NewField,
                    action => Place::Hidden(action),
                };
            };
            place = match element(field.data_type()) {
                DataType::Struct(fields) => Place::Object(fields),
                _ => Place::Column,
            };
            match nodes.and_then(|nodes| nodes.get(name)) {
                Some(Node::Column(action)) => return Place::Hidden(*action),
                Some(Node::Entries(entries)) => {
                    return match names.get(depth + 1) {
                        Some(key) => Place::Hidden(entries.action(key)),
                        None => Place::AboveHidden,
                    };
                }
                Some(Node::Fields { columns, others: action }) => {
                    (nodes, others) = (Some(columns), *action);
                }
                None => {
                    (nodes, others) = (None, Action::Keep);
                    // an entry of a map that is written as it is
                    if matches!(element(field.data_type()), DataType::Map(..)) {
                        return Place::Column;
                    }
                }
            }
        }
        match place {
            Place::Object(_) if nodes.is_some() => Place::AboveHidden,
            place => place,
        }
    }
}

/// What is written of a raw value of a column to which `action` happens.
fn hidden_json<'j>(json: &'j str, action: Action, key: &HashKey) -> Option<Cow<'j, str>> {
    let text = match serde_json::from_str::<String>(json) {
        Ok(text) => Cow::Owned(text),
        Err(_) => Cow::Borrowed(json),
    };
    match action {
        Action::Keep => Some(json.into()),
        Action::Mask(_) if json.starts_with(['{', '[']) => None,
        _ => hidden(&text, action, key).map(|text| serde_json::json!(text).to_string().into()),
    }
}
