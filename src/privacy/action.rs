//! What happens to the values of a column.

use std::{fmt, str::FromStr};

/// The most characters that a mask keeps.
const MOST_KEPT: usize = 32;

/// What happens to the values of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    /// They are written as they are.
    Keep,
    /// They become null; an entry of a map is left out.
    Drop,
    /// A text becomes its HMAC-SHA-256 in hexadecimal digits. An empty text stays empty.
    Hash,
    /// Every character of a text but the last ones becomes `*`. A text that has no more than these
    /// is masked as a whole.
    Mask(usize),
}

impl FromStr for Action {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let kept = || text.strip_prefix("mask(")?.strip_suffix(')')?.parse().ok();
        match text {
            "keep" => Ok(Self::Keep),
            "drop" => Ok(Self::Drop),
            "hash" => Ok(Self::Hash),
            _ => kept().filter(|kept| *kept <= MOST_KEPT).map(Self::Mask).ok_or_else(|| {
                format!(
                    "unknown action `{text}`: expected keep, drop, hash, or mask(4), which keeps \
                     the last 4 characters, at most {MOST_KEPT}"
                )
            }),
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Keep => f.write_str("keep"),
            Self::Drop => f.write_str("drop"),
            Self::Hash => f.write_str("hash"),
            Self::Mask(kept) => write!(f, "mask({kept})"),
        }
    }
}
