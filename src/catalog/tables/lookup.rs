//! Where values stand, seen from a row of a table.

use arrow::datatypes::{DataType, Fields};

use crate::catalog::{ValuePath, value_path::Step};

/// A field of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its name.
    pub name: String,
    /// Its position among the fields.
    pub index: usize,
}

/// A list, into whose elements a path leads. It may be a map, whose elements are its entries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListStep {
    /// The fields that lead to it from a row of the dataset, or from an element of the list before.
    pub members: Vec<Member>,
    /// Which elements: those in which a text field has this value. `None` means all.
    pub filter: Option<(Member, String)>,
}

/// The values that a path leads to from a row of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lookup {
    /// Where it begins: 0 is the row of the dataset; n is the element of the table's nth list that
    /// is the table's row or contains it.
    pub level: usize,
    /// The lists from there. All of their elements that pass the filter are meant.
    pub lists: Vec<ListStep>,
    /// The fields from there to the values. Empty if the values are the elements themselves.
    pub value: Vec<Member>,
}

impl ListStep {
    /// Whether both are the same list, whatever the filters.
    pub(crate) fn is_same_list(&self, other: &Self) -> bool {
        self.members == other.members
    }
}

/// The number of lists that two paths have in common, which begin at the same place.
pub(crate) fn shared_lists(one: &[ListStep], other: &[ListStep]) -> usize {
    one.iter().zip(other).take_while(|(one, other)| one.is_same_list(other)).count()
}

impl Lookup {
    /// The names of the fields that lead to the values, joined by `_`.
    pub(super) fn value_name(&self) -> String {
        let names: Vec<_> = self.value.iter().map(|member| member.name.as_str()).collect();
        names.join("_")
    }

    /// Where the values of a path are in rows with the columns `fields`, and their type. `None` if
    /// the columns have no such path.
    pub(crate) fn of(path: &ValuePath, fields: &Fields) -> Option<(Self, DataType)> {
        let (mut fields, mut lists, mut value) = (Some(fields), Vec::new(), Vec::new());
        let mut leaf = None;
        for step @ Step { name, is_list, filter } in &path.0 {
            let (member, data_type) = member(fields?, name)?;
            value.push(member);
            let data_type = step.inner(data_type)?;
            fields = match data_type {
                DataType::Struct(inner) => Some(inner),
                _ => None,
            };
            if *is_list {
                let filter = match filter {
                    Some((key, text)) => Some((member_of_text(fields?, key)?, text.clone())),
                    None => None,
                };
                lists.push(ListStep { members: std::mem::take(&mut value), filter });
            }
            leaf = Some(data_type);
        }
        Some((Self { level: 0, lists, value }, leaf?.clone()))
    }

    /// The same values, seen from a row of a table with the lists `rows`.
    ///
    /// # Errors
    /// If a filter stands at a list that contains the row: the reason.
    pub(super) fn seen_from(mut self, rows: &[ListStep]) -> Result<Self, String> {
        self.level = shared_lists(&self.lists, rows);
        for list in self.lists.drain(..self.level) {
            let name = list.members.last().map_or("", |member| &member.name);
            if list.filter.is_some() {
                return Err(format!(
                    "`{name}` is a list that contains the table's row, of which only that element \
                     is meant: write `{name}[]`"
                ));
            }
        }
        Ok(self)
    }
}

fn member<'f>(fields: &'f Fields, name: &str) -> Option<(Member, &'f DataType)> {
    let (index, field) = fields.find(name)?;
    Some((Member { name: name.to_owned(), index }, field.data_type()))
}

fn member_of_text(fields: &Fields, name: &str) -> Option<Member> {
    let (member, data_type) = member(fields, name)?;
    (*data_type == DataType::Utf8).then_some(member)
}
