//! Paths of values in a row.

use std::fmt::Write;

/// The path of a value, as a list that ends at the row. Steps live on the stack while the row is
/// read, so a path costs nothing until its text is needed.
#[derive(Debug, Clone, Copy)]
pub(in crate::decode) struct Path<'p> {
    outer: Option<&'p Path<'p>>,
    step: Step<'p>,
}

#[derive(Debug, Clone, Copy)]
enum Step<'p> {
    Row,
    Field(&'p str),
    Entry(&'p str),
    Element(usize),
}

impl<'p> Path<'p> {
    /// The row itself.
    pub(in crate::decode) const ROW: Path<'static> = Path { outer: None, step: Step::Row };

    /// The field of an object at this path.
    #[inline]
    pub(in crate::decode) fn field(&'p self, name: &'p str) -> Self {
        Self { outer: Some(self), step: Step::Field(name) }
    }

    /// The entry of a map at this path, whose keys are data.
    pub(in crate::decode) fn entry(&'p self, key: &'p str) -> Self {
        Self { outer: Some(self), step: Step::Entry(key) }
    }

    /// The element of a list at this path.
    #[inline]
    pub(in crate::decode) fn element(&'p self, index: usize) -> Self {
        Self { outer: Some(self), step: Step::Element(index) }
    }

    /// Whether it is the path of the row.
    pub(in crate::decode) fn is_row(&self) -> bool {
        self.outer.is_none()
    }

    /// Appends the path, such as `participants[0].sessions[2].newField`. A name that is no word is
    /// written as `["a name"]`.
    pub(in crate::decode) fn write(&self, text: &mut String) {
        let start = text.len();
        self.write_steps(text, start, false);
    }

    /// Appends the pattern that the path has in common with those of other elements and entries,
    /// such as `participants[].attributes.*`.
    pub(in crate::decode) fn write_pattern(&self, text: &mut String) {
        let start = text.len();
        self.write_steps(text, start, true);
    }

    fn write_steps(&self, text: &mut String, start: usize, is_pattern: bool) {
        // the depth is that of the columns
        if let Some(outer) = self.outer {
            outer.write_steps(text, start, is_pattern);
        }
        match self.step {
            Step::Row => {}
            Step::Element(_) if is_pattern => text.push_str("[]"),
            Step::Element(index) => write!(text, "[{index}]").unwrap_or_default(),
            Step::Entry(_) if is_pattern => text.push_str(".*"),
            Step::Field(name) | Step::Entry(name) => write_name(text, start, name),
        }
    }
}

/// Appends a name, quoted like a JSON text if it could be taken for something else.
fn write_name(text: &mut String, start: usize, name: &str) {
    let is_plain = |one: char| one.is_alphanumeric() || matches!(one, '_' | '-' | '$' | '@' | ':');
    if name.is_empty() || !name.chars().all(is_plain) {
        let quoted = serde_json::Value::from(name);
        write!(text, "[{quoted}]").unwrap_or_default();
        return;
    }
    if text.len() > start {
        text.push('.');
    }
    text.push_str(name);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_names_fields_elements_and_entries() {
        let root = Path::ROW;
        let list = root.field("participants");
        let element = list.element(12);
        let map = element.field("attributes");
        for (path, expected, pattern) in [
            (list, "participants", "participants"),
            (element, "participants[12]", "participants[]"),
            (
                map.entry("a.b"),
                r#"participants[12].attributes["a.b"]"#,
                "participants[].attributes.*",
            ),
            (element.field("größe"), "participants[12].größe", "participants[].größe"),
            (root.field("a \"b\""), r#"["a \"b\""]"#, r#"["a \"b\""]"#),
            (root.field(""), r#"[""]"#, r#"[""]"#),
        ] {
            let (mut text, mut pattern_text) = (String::from("before"), String::new());
            path.write(&mut text);
            path.write_pattern(&mut pattern_text);
            assert_eq!((&text["before".len()..], pattern_text.as_str()), (expected, pattern));
        }
        assert!(root.is_row() && !list.is_row());
    }
}
