//! Finds forgotten ids among the values of rows that cannot be decoded.

use crate::{decode::id_hash, sink::forgotten::ForgottenIds};

impl ForgottenIds {
    /// Whether a row that cannot be decoded has a forgotten id as one of its values. An equal
    /// number may mean something else, so a number in an object counts only under a key of the id.
    /// Ids of several columns are not recognized.
    pub(crate) fn is_mentioned(&self, row: &[u8]) -> bool {
        if self.is_empty() {
            return false;
        }
        let is_object = row.trim_ascii_start().starts_with(b"{");
        let texts = row.split(|byte| *byte == b'"').chain(row.split(is_end));
        let mut texts = texts.filter(|text| !is_object || !is_number(text));
        texts.any(|text| self.is_forgotten(text)) || (is_object && self.has_forgotten_number(row))
    }

    /// Whether a forgotten number stands directly in an object under a key of the id.
    fn has_forgotten_number(&self, object: &[u8]) -> bool {
        let (mut depth, mut key) = (0_usize, &b""[..]);
        let mut rest = object;
        while let Some((first, after)) = rest.split_first() {
            let text = match first {
                b'"' => &after[..string_length(after)],
                first if is_end(first) => b"",
                _ => &rest[..rest.iter().position(is_end).unwrap_or(rest.len())],
            };
            let quotes = if *first == b'"' { 2 } else { 0 };
            rest = rest.get((text.len() + quotes).max(1)..).unwrap_or_default();
            match first {
                b'{' | b'[' => depth += 1,
                b'}' | b']' => depth = depth.saturating_sub(1),
                _ if text.is_empty() => {}
                _ => {
                    let is_id = depth == 1 && self.keys.iter().any(|id| id.as_bytes() == key);
                    if is_id && is_number(text) && self.is_forgotten(text) {
                        return true;
                    }
                    key = text;
                }
            }
        }
        false
    }

    fn is_forgotten(&self, text: &[u8]) -> bool {
        let text = std::str::from_utf8(text).unwrap_or_default();
        !text.is_empty() && self.contains(id_hash(text))
    }
}

/// Whether a byte ends a value of JSON that is no string.
fn is_end(byte: &u8) -> bool {
    b",:{}[]\"".contains(byte) || byte.is_ascii_whitespace()
}

fn is_number(text: &[u8]) -> bool {
    text.strip_prefix(b"-").unwrap_or(text).iter().all(u8::is_ascii_digit)
}

/// The bytes of a JSON string up to the quote that ends it.
fn string_length(text: &[u8]) -> usize {
    let mut is_escaped = false;
    let end = text.iter().position(|byte| {
        let is_quote = *byte == b'"' && !is_escaped;
        is_escaped = *byte == b'\\' && !is_escaped;
        is_quote
    });
    end.unwrap_or(text.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        catalog::Dataset,
        sink::{ForgottenRows, tests::calls},
    };

    #[test]
    fn a_row_that_cannot_be_decoded_is_recognized_by_an_id_among_its_values() {
        let mut rows = ForgottenRows::default();
        rows.add("calls", ["a-1", "17", "with: space"].map(id_hash)).unwrap();
        let ids = rows.of_dataset(&calls());
        for row in
            [r#"{"id":"a-1","x":NaN}"#, "[17]", r#"{"id":"with: space"#, r#"[["a-1"]]"#, "17,x"]
        {
            assert!(ids.is_mentioned(row.as_bytes()), "{row}");
        }
        for row in [r#"{"id":"a-12"}"#, r#"{"id":170}"#, "", r#"{"id":""}"#] {
            assert!(!ids.is_mentioned(row.as_bytes()), "{row}");
        }
        assert!(
            ids.is_mentioned(b"{\"x\":\"\xff\",\"id\":\"a-1\""),
            "also beside bytes that are no text"
        );
    }

    #[test]
    fn g9_a_forgotten_number_counts_only_as_the_id_of_an_undecodable_row() {
        let mut rows = ForgottenRows::default();
        rows.add("calls", ["17"].map(id_hash)).unwrap();
        let aliases = vec![("number".to_owned(), "callId".to_owned())];
        let ids = rows.of_dataset(&Dataset { aliases, ..Dataset::clone(&calls()) });
        for row in [
            r#"{"callId":17,"x":NaN}"#,
            r#" { "x": [1, {"y": "}"}], "callId" : "17" "#,
            r#"{"a\\":"\"{","number":17"#,
        ] {
            assert!(ids.is_mentioned(row.as_bytes()), "{row}");
        }
        for row in [
            r#"{"callId":99,"teamId":17}"#,
            r#"{"callId":99,"team":{"callId":17}}"#,
            r#"{"callId":99,"skills":["callId",17],"note":"17 17"}"#,
            r#"{"callId":null,"17":17}"#,
            r#"{"callId":{"value":17}}"#,
        ] {
            assert!(!ids.is_mentioned(row.as_bytes()), "{row}");
        }
    }
}
