//! A key as it is written in JSON, compared with many bytes in one step.

use crate::decode::byte_search::equal_bytes;

/// The bytes that are compared in one step.
const STEP: usize = 32;

/// A key with its quotes and a colon.
#[derive(Debug)]
pub(super) struct KeyToken {
    bytes: [u8; STEP],
    /// Bits for those of the bytes that the key has.
    bits: u32,
    /// 0 if the key is longer than a step, or can only be written with escapes.
    len: u32,
}

impl KeyToken {
    pub(super) fn new(key: &str) -> Self {
        let written = [b"\"", key.as_bytes(), b"\":"].concat();
        let needs_escapes = key.bytes().any(|byte| matches!(byte, b'"' | b'\\' | ..b' '));
        let len = if needs_escapes || written.len() > STEP { 0 } else { written.len() };
        let mut bytes = [0; STEP];
        bytes[..len].copy_from_slice(&written[..len]);
        let bits = u32::MAX.checked_shr((STEP - len) as u32).unwrap_or_default();
        Self { bytes, bits, len: len as u32 }
    }

    /// The length of the token, if a text begins with it.
    #[inline]
    pub(super) fn at_start_of(&self, text: &[u8]) -> Option<usize> {
        let len = self.len as usize;
        let is_it = match text.first_chunk() {
            Some(start) => equal_bytes(start, &self.bytes) & self.bits == self.bits,
            None => text.starts_with(&self.bytes[..len]),
        };
        (is_it && len > 0).then_some(len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_found_at_the_start_of_a_text_only() {
        for key in ["", "a", "größe", "thirteen_byte", "this_key_takes_32_bytes_in_js"] {
            let (token, text) = (KeyToken::new(key), format!("\"{key}\":"));
            for after in ["", "1", "\"a text that is longer than a step is\""] {
                let whole = format!("{text}{after}");
                assert_eq!(token.at_start_of(whole.as_bytes()), Some(text.len()), "{whole}");
            }
            for at in 0..text.len() {
                let mut other =
                    format!("{text}\"a text that is longer than a step is\"").into_bytes();
                other[at] ^= 1;
                assert_eq!(token.at_start_of(&other), None, "{key} {at}");
                assert_eq!(token.at_start_of(&text.as_bytes()[..at]), None, "{key} {at}");
            }
        }
    }

    #[test]
    fn a_key_that_needs_escapes_or_more_than_a_step_is_not_found() {
        for key in ["a\"b", "a\\b", "a\nb", "this_key_takes_33_bytes_in_json"] {
            assert_eq!(KeyToken::new(key).at_start_of(format!("\"{key}\":1").as_bytes()), None);
        }
    }
}
