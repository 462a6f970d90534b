//! A text as it reads when it is unescaped, and where in the original its bytes stand.
//!
//! What must not be shown is looked for in every reading of a text ([`for_each_reading`]).

use std::ops::Range;

use crate::server_text::printable::is_hidden;

/// Reads the escape at the start of `bytes`: the character that it stands for, and its length.
/// `None` if `bytes` do not start with an escape.
type ReadEscape = fn(bytes: &[u8]) -> Option<(Vec<u8>, usize)>;

/// How often a text is taken for an escaped one, and unescaped.
const UNESCAPINGS: usize = 2;

/// The kinds of escapes. A text is read in one kind at a time, since what looks like an escape of
/// another may be a part of the secret.
const ESCAPES: [ReadEscape; 3] = [percent_escape, backslash_escape, entity_escape];

/// One reading of a text.
pub(super) struct Layer {
    /// The bytes of this reading.
    pub bytes: Vec<u8>,
    /// Where each byte begins and ends in the original.
    places: Vec<(usize, usize)>,
}

/// Calls `visit` with the text as it is, and as it reads when it is unescaped.
pub(super) fn for_each_reading(text: &str, mut visit: impl FnMut(&Layer)) {
    visit_below(&Layer::of(text), UNESCAPINGS, &mut visit);
}

fn visit_below(layer: &Layer, unescapings: usize, visit: &mut impl FnMut(&Layer)) {
    visit(layer);
    if unescapings > 0 {
        for unescaped in ESCAPES.iter().filter_map(|escape| layer.unescape(*escape)) {
            visit_below(&unescaped, unescapings - 1, visit);
        }
    }
}

/// The same ranges in order, with those that overlap or touch made one.
pub(super) fn merged(mut ranges: Vec<Range<usize>>) -> Vec<Range<usize>> {
    ranges.sort_unstable_by_key(|range| range.start);
    ranges.dedup_by(|next, range| {
        let overlaps = next.start <= range.end;
        if overlaps {
            range.end = range.end.max(next.end);
        }
        overlaps
    });
    ranges
}

impl Layer {
    /// The text as it is.
    fn of(text: &str) -> Self {
        let bytes = text.as_bytes().to_vec();
        let places = (0..bytes.len()).map(|at| (at, at + 1)).collect();
        Self { bytes, places }
    }

    /// Where the bytes `from..to` stand in the original; `from` is less than `to`.
    pub(super) fn range(&self, from: usize, to: usize) -> Range<usize> {
        self.places[from].0..self.places[to - 1].1
    }

    /// The bytes as text. Those that are not UTF-8, as an escape can make them, are question marks.
    pub(super) fn text(&self) -> String {
        let mut text = String::with_capacity(self.bytes.len());
        for chunk in self.bytes.utf8_chunks() {
            text.push_str(chunk.valid());
            text.extend(chunk.invalid().iter().map(|_| '?'));
        }
        text
    }

    /// The text without its escapes of one kind. `None` if it has none.
    fn unescape(&self, escape: ReadEscape) -> Option<Self> {
        let mut unescaped = Self { bytes: Vec::new(), places: Vec::new() };
        let (mut at, mut has_escape) = (0, false);
        while at < self.bytes.len() {
            match escape(&self.bytes[at..]) {
                Some((character, length)) => {
                    has_escape = true;
                    unescaped.push(&character, self.places[at].0, self.places[at + length - 1].1);
                    at += length;
                }
                None => {
                    let (start, end) = self.places[at];
                    unescaped.push(&[self.bytes[at]], start, end);
                    at += 1;
                }
            }
        }
        has_escape.then_some(unescaped)
    }

    /// The text without white space and characters that do not show. `None` if it has none.
    pub(super) fn without_gaps(&self) -> Option<Self> {
        let mut joined = Self { bytes: Vec::new(), places: Vec::new() };
        let mut at = 0;
        // bytes that are not text, as an escape can make them, are kept
        for chunk in self.bytes.utf8_chunks() {
            for character in chunk.valid().chars() {
                let end = at + character.len_utf8();
                if !character.is_whitespace() && !is_hidden(character) {
                    joined.extend(self, at..end);
                }
                at = end;
            }
            let end = at + chunk.invalid().len();
            joined.extend(self, at..end);
            at = end;
        }
        (joined.bytes.len() < self.bytes.len()).then_some(joined)
    }

    fn push(&mut self, bytes: &[u8], start: usize, end: usize) {
        self.bytes.extend_from_slice(bytes);
        self.places.extend(bytes.iter().map(|_| (start, end)));
    }

    fn extend(&mut self, other: &Self, range: Range<usize>) {
        self.bytes.extend_from_slice(&other.bytes[range.clone()]);
        self.places.extend_from_slice(&other.places[range]);
    }
}

/// As in URLs.
fn percent_escape(bytes: &[u8]) -> Option<(Vec<u8>, usize)> {
    match bytes {
        [b'%', high, low, ..] => Some((byte(*high, *low)?, 3)),
        _ => None,
    }
}

/// As in JSON and in programs.
fn backslash_escape(bytes: &[u8]) -> Option<(Vec<u8>, usize)> {
    match bytes {
        [b'\\', b'u', b'{', rest @ ..] => {
            let digits = rest.iter().take(7).position(|&byte| byte == b'}')?;
            Some((utf8(hex(&rest[..digits])?)?, digits + 4))
        }
        [b'\\', b'u', a, b, c, d, rest @ ..] => match (hex(&[*a, *b, *c, *d])?, rest) {
            (high @ 0xd800..0xdc00, [b'\\', b'u', a, b, c, d, ..]) => {
                let low = hex(&[*a, *b, *c, *d])?.checked_sub(0xdc00)?;
                Some((utf8(0x1_0000 + ((high - 0xd800) << 10) + low)?, 12))
            }
            (code, _) => Some((utf8(code)?, 6)),
        },
        [b'\\', b'x', high, low, ..] => Some((byte(*high, *low)?, 4)),
        [b'\\', quoted @ (b'"' | b'\'' | b'\\' | b'/'), ..] => Some((vec![*quoted], 2)),
        [b'\\', b'n' | b'r' | b't', ..] => Some((b" ".to_vec(), 2)),
        _ => None,
    }
}

/// As in HTML and XML.
fn entity_escape(bytes: &[u8]) -> Option<(Vec<u8>, usize)> {
    let name = bytes.strip_prefix(b"&")?;
    let length = name.iter().take(10).position(|&byte| byte == b';')?;
    Some((entity(&name[..length])?, length + 2))
}

/// The character of an entity of HTML or XML.
fn entity(name: &[u8]) -> Option<Vec<u8>> {
    match name {
        b"amp" => Some(b"&".to_vec()),
        b"lt" => Some(b"<".to_vec()),
        b"gt" => Some(b">".to_vec()),
        b"quot" => Some(b"\"".to_vec()),
        b"apos" => Some(b"'".to_vec()),
        b"plus" => Some(b"+".to_vec()),
        b"commat" => Some(b"@".to_vec()),
        b"nbsp" => Some(b" ".to_vec()),
        [b'#', b'x' | b'X', digits @ ..] => utf8(hex(digits)?),
        [b'#', digits @ ..] => utf8(std::str::from_utf8(digits).ok()?.parse().ok()?),
        _ => None,
    }
}

fn hex(digits: &[u8]) -> Option<u32> {
    let is_hex = digits.iter().all(u8::is_ascii_hexdigit);
    std::str::from_utf8(digits)
        .ok()
        .filter(|_| is_hex)
        .and_then(|digits| u32::from_str_radix(digits, 16).ok())
}

fn byte(high: u8, low: u8) -> Option<Vec<u8>> {
    Some(vec![u8::try_from(hex(&[high, low])?).ok()?])
}

fn utf8(code: u32) -> Option<Vec<u8>> {
    char::from_u32(code).map(|character| character.to_string().into_bytes())
}
