//! What the rows of pages have that their columns do not.

use std::{collections::BTreeMap, fmt};

/// The most path patterns that are told apart; what other patterns have is counted together (G8).
pub(crate) const MAX_PATTERNS: usize = 1_000;

/// The values of rows that fit no column, by the patterns of their paths. A pattern is a path
/// without positions, such as `participants[].sessions[].newField`; an entry of a map is `.*`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Drift {
    fields: BTreeMap<String, DriftedField>,
    /// Values whose patterns come after the first [`MAX_PATTERNS`].
    pub other_values: u64,
    /// Keys that came again in one object. The last value of a key is kept.
    pub duplicate_keys: u64,
}

/// The values at one path pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DriftedField {
    /// The rows that have such a value.
    pub rows: u64,
    /// Why the values are in no column.
    pub kind: DriftKind,
    /// The type of the first value.
    pub json_type: JsonType,
}

/// Why a value is in no column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DriftKind {
    /// The catalog has no column of that name.
    NewField,
    /// The column has another type, or cannot hold this value.
    Misfit,
}

/// The type of a JSON value that is not null.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JsonType {
    /// A text.
    String,
    /// A number without fraction and exponent.
    Integer,
    /// Any other number.
    Number,
    /// True or false.
    Boolean,
    /// An object.
    Object,
    /// A list.
    Array,
}

impl Drift {
    /// The values by their path patterns, at most [`MAX_PATTERNS`].
    pub fn fields(&self) -> impl ExactSizeIterator<Item = (&str, &DriftedField)> {
        self.fields.iter().map(|(pattern, field)| (pattern.as_str(), field))
    }

    /// Whether every value fitted and no key came twice.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Adds what later rows have.
    pub fn add(&mut self, later: &Self) {
        for (pattern, field) in &later.fields {
            self.insert(pattern, *field);
        }
        self.other_values = self.other_values.saturating_add(later.other_values);
        self.duplicate_keys = self.duplicate_keys.saturating_add(later.duplicate_keys);
    }

    /// Adds the rows that have values at this pattern.
    pub(super) fn insert(&mut self, pattern: &str, field: DriftedField) {
        let has_room = self.fields.len() < MAX_PATTERNS;
        match self.fields.get_mut(pattern) {
            Some(known) => known.rows = known.rows.saturating_add(field.rows),
            None if has_room => drop(self.fields.insert(pattern.to_owned(), field)),
            None => self.other_values = self.other_values.saturating_add(field.rows),
        }
    }
}

impl JsonType {
    /// The type of a value from its JSON, which is valid.
    pub(super) fn of(json: &[u8]) -> Self {
        match json.first() {
            Some(b'"') => Self::String,
            Some(b'{') => Self::Object,
            Some(b'[') => Self::Array,
            Some(b't' | b'f') => Self::Boolean,
            _ if json.iter().any(|byte| matches!(byte, b'.' | b'e' | b'E')) => Self::Number,
            _ => Self::Integer,
        }
    }
}

impl fmt::Display for JsonType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::String => "string",
            Self::Integer => "integer",
            Self::Number => "number",
            Self::Boolean => "boolean",
            Self::Object => "object",
            Self::Array => "list",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drift(patterns: std::ops::Range<usize>) -> Drift {
        let mut drift = Drift { duplicate_keys: 1, ..Drift::default() };
        for pattern in patterns {
            let json_type = JsonType::of(b"1");
            let field = DriftedField { rows: 2, kind: DriftKind::NewField, json_type };
            drift.insert(&format!("field{pattern}"), field);
        }
        drift
    }

    #[test]
    fn the_drift_of_pages_adds_up() {
        let mut total = drift(0..2);
        total.add(&drift(1..3));
        let rows: Vec<_> = total.fields().map(|(_, field)| field.rows).collect();
        assert_eq!((rows, total.duplicate_keys), (vec![2, 4, 2], 2));
        assert!(Drift::default().is_empty() && !total.is_empty());
    }

    #[test]
    fn g8_patterns_are_bounded_and_the_rest_is_counted_together() {
        let mut total = drift(0..MAX_PATTERNS);
        total.add(&drift(MAX_PATTERNS..MAX_PATTERNS + 5));
        total.add(&drift(0..1));
        assert_eq!((total.fields().len(), total.other_values), (MAX_PATTERNS, 10));
        assert_eq!(total.fields["field0"].rows, 4);
    }

    #[test]
    fn a_value_has_the_type_of_its_json() {
        for (json, name) in [
            ("\"1\"", "string"),
            ("-12", "integer"),
            ("1.0", "number"),
            ("1e3", "number"),
            ("true", "boolean"),
            ("{\"a\": 1.5}", "object"),
            ("[1]", "list"),
        ] {
            assert_eq!(JsonType::of(json.as_bytes()).to_string(), name, "{json}");
        }
    }
}
