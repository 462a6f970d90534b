//! A path to values within a row, as catalog files write it.

use std::fmt;

use arrow::datatypes::{DataType, Fields};

/// A path to values within a row, such as `participants[].sessions[].metrics[name=tHandle].value`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ValuePath(pub Vec<Step>);

/// A column on the way to values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    pub name: String,
    /// Whether it is a list, into whose elements the path leads. The elements of a map are its
    /// entries, of which each has a `key` and a `value`.
    pub is_list: bool,
    /// Which elements: those in which a text column has this value. `None` means all.
    pub filter: Option<(String, String)>,
}

impl ValuePath {
    /// Reads a path. `None` if it is not one.
    pub(super) fn read(text: &str) -> Option<Self> {
        let steps = text.split('.').map(Step::read).collect::<Option<Vec<_>>>()?;
        Some(Self(steps))
    }

    /// The type of the values. `None` if the columns have no such path.
    pub(super) fn leaf<'f>(&self, fields: &'f Fields) -> Option<&'f DataType> {
        let (mut fields, mut leaf) = (Some(fields), None);
        for step @ Step { name, filter, .. } in &self.0 {
            let (_, field) = fields?.find(name)?;
            let data_type = step.inner(field.data_type())?;
            fields = match data_type {
                DataType::Struct(inner) => Some(inner),
                _ => None,
            };
            if let Some((key, _)) = filter
                && *fields?.find(key)?.1.data_type() != DataType::Utf8
            {
                return None;
            }
            leaf = Some(data_type);
        }
        leaf
    }
}

impl fmt::Display for ValuePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, Step { name, is_list, filter }) in self.0.iter().enumerate() {
            f.write_str(if index == 0 { "" } else { "." })?;
            f.write_str(name)?;
            match filter {
                Some((key, value)) => write!(f, "[{key}={value}]")?,
                None if *is_list => f.write_str("[]")?,
                None => {}
            }
        }
        Ok(())
    }
}

impl Step {
    /// The type of the values that the path continues in, of a column of this type: for a list or a
    /// map that of its elements. `None` if the step does not fit the column.
    pub(super) fn inner<'f>(&self, data_type: &'f DataType) -> Option<&'f DataType> {
        match data_type {
            DataType::List(element) if self.is_list => Some(element.data_type()),
            DataType::Map(entry, _) if self.is_list => Some(entry.data_type()),
            data_type => (!self.is_list).then_some(data_type),
        }
    }

    /// Reads `name`, `name[]` or `name[key=value]`.
    fn read(text: &str) -> Option<Self> {
        let Some((name, rest)) = text.split_once('[') else {
            let name = Some(text).filter(|name| !name.is_empty())?.to_owned();
            return Some(Self { name, is_list: false, filter: None });
        };
        let filter = match rest.strip_suffix(']')? {
            "" => None,
            filter => {
                let (key, value) = filter.split_once('=')?;
                Some((key.to_owned(), value.to_owned()))
            }
        };
        Some(Self { name: name.to_owned(), is_list: true, filter })
    }
}
