//! The JSON of a row, read token by token and strictly.
//!
//! Eight bytes of a text are looked at in one step, and a text without escapes is a part of the
//! input. What needs more than that is left to `jiter`: see [`unescape`].

use std::{mem, ops::Range};

use jiter::Jiter;

/// A position in the JSON of a row.
#[derive(Debug)]
pub(super) struct Json<'j> {
    text: &'j [u8],
    at: usize,
}

/// The row is not JSON: what was expected, and at which byte.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct SyntaxError {
    expected: &'static str,
    at: usize,
}

impl SyntaxError {
    /// The error as a reason why a row cannot be decoded.
    pub(super) fn reason(&self) -> String {
        format!("the row is not JSON: expected {} at byte {}", self.expected, self.at)
    }
}

/// A text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Text<'j> {
    /// It has no escapes: these bytes, which are UTF-8.
    Plain(&'j [u8]),
    /// It has escapes: the text with its quotes, as it came.
    Escaped(&'j [u8]),
}

/// A number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Number<'j> {
    /// As it was written, in ASCII.
    pub text: &'j [u8],
    /// Its value, if it is an integer of at most 18 digits and not `-0`.
    pub integer: Option<i64>,
}

type Read<T> = Result<T, SyntaxError>;

impl<'j> Json<'j> {
    pub(super) fn new(text: &'j [u8]) -> Self {
        Self { text, at: 0 }
    }

    /// The position in bytes.
    pub(super) fn position(&self) -> usize {
        self.at
    }

    /// What was read since a position.
    pub(super) fn since(&self, start: usize) -> &'j [u8] {
        &self.text[start..self.at]
    }

    /// A part of the row.
    pub(super) fn part(&self, range: Range<usize>) -> &'j [u8] {
        &self.text[range]
    }

    /// Skips space. Returns the first byte after it, or 0 if there is none.
    #[inline]
    pub(super) fn peek(&mut self) -> u8 {
        loop {
            match self.text.get(self.at) {
                Some(b' ' | b'\n' | b'\r' | b'\t') => self.at += 1,
                Some(&byte) => return byte,
                None => return 0,
            }
        }
    }

    fn error<T>(&self, expected: &'static str) -> Read<T> {
        Err(SyntaxError { expected, at: self.at })
    }

    /// Skips a byte that was peeked at.
    pub(super) fn skip_byte(&mut self) {
        self.at += 1;
    }

    /// Checks that nothing follows but space.
    pub(super) fn finish(&mut self) -> Read<()> {
        match self.peek() {
            0 if self.at == self.text.len() => Ok(()),
            _ => self.error("the end of the row"),
        }
    }

    /// Goes to the next member of an object, or behind its end. Returns whether there is one.
    #[inline]
    pub(super) fn next_member(&mut self, is_first: bool) -> Read<bool> {
        match self.peek() {
            b'}' => {
                self.at += 1;
                return Ok(false);
            }
            b',' if !is_first => {
                self.at += 1;
                self.peek();
            }
            _ if !is_first => return self.error("`,` or `}`"),
            _ => {}
        }
        match self.text.get(self.at) {
            Some(b'"') => Ok(true),
            _ => self.error("a key"),
        }
    }

    /// Goes to the next element of a list, or behind its end. Returns whether there is one.
    #[inline]
    pub(super) fn next_element(&mut self, is_first: bool) -> Read<bool> {
        match self.peek() {
            b']' => {
                self.at += 1;
                Ok(false)
            }
            b',' if !is_first => {
                self.at += 1;
                Ok(true)
            }
            _ if !is_first => self.error("`,` or `]`"),
            _ => Ok(true),
        }
    }

    /// Reads the key that begins here and its colon, if it is this one, which is given with its
    /// last quote and the colon.
    #[inline]
    pub(super) fn skip_key(&mut self, ending_key: &[u8]) -> bool {
        let is_it = begins_with(&self.text[self.at + 1..], ending_key);
        if is_it {
            self.at += 1 + ending_key.len();
        }
        is_it
    }

    /// Reads the key that begins here, and its colon.
    pub(super) fn key(&mut self) -> Read<Text<'j>> {
        let key = self.string()?;
        match self.peek() {
            b':' => self.at += 1,
            _ => return self.error("`:`"),
        }
        Ok(key)
    }

    /// Reads the text that begins here.
    #[inline]
    pub(super) fn string(&mut self) -> Read<Text<'j>> {
        let from = self.at + 1;
        let mut end = string_part(self.text, from);
        let mut is_ascii = end.is_ascii;
        let mut has_escapes = false;
        self.at = end.at;
        while let Some(&byte) = self.text.get(self.at) {
            match byte {
                b'"' => {
                    self.at += 1;
                    let text = &self.text[from..self.at - 1];
                    if !is_ascii && str::from_utf8(text).is_err() {
                        return self.error("a text in UTF-8 before");
                    }
                    return Ok(match has_escapes {
                        true => Text::Escaped(&self.text[from - 1..self.at]),
                        false => Text::Plain(text),
                    });
                }
                b'\\' => {
                    has_escapes = true;
                    self.escape()?;
                    end = string_part(self.text, self.at);
                    is_ascii &= end.is_ascii;
                    self.at = end.at;
                }
                _ => return self.error("an escaped control character"),
            }
        }
        self.error("the end of a text")
    }

    /// Checks an escape, which may stand for half of a character.
    fn escape(&mut self) -> Read<()> {
        let digits = match self.text.get(self.at + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => 0,
            Some(b'u') => 4,
            _ => return self.error("an escape"),
        };
        match self.text.get(self.at + 2..self.at + 2 + digits) {
            Some(hex) if hex.iter().all(u8::is_ascii_hexdigit) => self.at += 2 + digits,
            _ => return self.error("an escape"),
        }
        Ok(())
    }

    /// Reads the number that should begin here.
    #[inline]
    pub(super) fn number(&mut self) -> Read<Number<'j>> {
        let start = self.at;
        let is_negative = self.text.get(self.at) == Some(&b'-');
        self.at += usize::from(is_negative);
        let (whole, mut integer) = self.digits();
        if whole == 0 || whole > 1 && self.text[self.at - whole] == b'0' {
            self.at = start;
            return self.error("a value");
        }
        let is_exact = whole <= 18 && !(is_negative && integer == 0);
        let mut is_integer = true;
        if self.text.get(self.at) == Some(&b'.') {
            self.at += 1;
            is_integer = false;
            if self.digits().0 == 0 {
                return self.error("a digit");
            }
        }
        if let Some(b'e' | b'E') = self.text.get(self.at) {
            self.at += 1;
            is_integer = false;
            if let Some(b'+' | b'-') = self.text.get(self.at) {
                self.at += 1;
            }
            if self.digits().0 == 0 {
                return self.error("a digit");
            }
        }
        if is_negative {
            integer = integer.wrapping_neg();
        }
        let integer = (is_integer && is_exact).then_some(integer);
        Ok(Number { text: self.since(start), integer })
    }

    /// Skips digits. Returns how many, and their value unless they are more than 18.
    #[inline]
    fn digits(&mut self) -> (usize, i64) {
        let start = self.at;
        let mut value = 0i64;
        while let Some(&byte) = self.text.get(self.at) {
            let digit = byte.wrapping_sub(b'0');
            if digit > 9 {
                break;
            }
            value = value.wrapping_mul(10).wrapping_add(i64::from(digit));
            self.at += 1;
        }
        (self.at - start, value)
    }

    /// Reads a word such as `null`.
    pub(super) fn word(&mut self, word: &'static str) -> Read<()> {
        if !self.text[self.at..].starts_with(word.as_bytes()) {
            return self.error("a value");
        }
        self.at += word.len();
        Ok(())
    }

    /// Skips the value that begins here, however deep it nests, without recursion.
    pub(super) fn skip_value(&mut self) -> Read<()> {
        // whether each of the open values is an object
        let mut open: Vec<bool> = Vec::new();
        loop {
            let mut is_first = true;
            match self.peek() {
                b'{' => {
                    self.at += 1;
                    open.push(true);
                }
                b'[' => {
                    self.at += 1;
                    open.push(false);
                }
                other => {
                    self.skip_scalar(other)?;
                    is_first = false;
                }
            }
            loop {
                let has_next = match open.last() {
                    None => return Ok(()),
                    Some(true) => {
                        let has_next = self.next_member(is_first)?;
                        if has_next {
                            self.key()?;
                        }
                        has_next
                    }
                    Some(false) => self.next_element(is_first)?,
                };
                if has_next {
                    break;
                }
                open.pop();
                is_first = false;
            }
        }
    }

    fn skip_scalar(&mut self, first: u8) -> Read<()> {
        match first {
            b'"' => self.string().map(drop),
            b't' => self.word("true"),
            b'f' => self.word("false"),
            b'n' => self.word("null"),
            _ => self.number().map(drop),
        }
    }
}

/// Whether a text begins with a key, which is short: eight bytes are compared in one step.
#[inline]
fn begins_with(text: &[u8], key: &[u8]) -> bool {
    let Some(text) = text.get(..key.len()) else { return false };
    let (Some(text_end), Some(key_end)) = (text.last_chunk::<8>(), key.last_chunk::<8>()) else {
        return text == key;
    };
    let mut at = 0;
    while at + 8 < key.len() {
        if text[at..].first_chunk::<8>() != key[at..].first_chunk::<8>() {
            return false;
        }
        at += 8;
    }
    text_end == key_end
}

/// Where a part of a text ends.
pub(super) struct PartEnd {
    /// The position of the first quote, backslash or control character, or the length of the input.
    pub at: usize,
    /// Whether all bytes before are ASCII.
    pub is_ascii: bool,
}

/// Finds the end of the part of a text that begins at `at`.
#[inline]
pub(super) fn string_part(text: &[u8], mut at: usize) -> PartEnd {
    const ONES: u64 = u64::MAX / 255;
    const HIGH: u64 = ONES << 7;
    // the lowest byte that is flagged is below `limit`; those above it may be flagged wrongly
    let below = |word: u64, limit: u8| word.wrapping_sub(ONES * u64::from(limit)) & !word & HIGH;
    let mut not_ascii = 0;
    while let Some(chunk) = text.get(at..).and_then(<[u8]>::first_chunk::<8>) {
        let word = u64::from_le_bytes(*chunk);
        let quote = below(word ^ (ONES * u64::from(b'"')), 1);
        let backslash = below(word ^ (ONES * u64::from(b'\\')), 1);
        let special = quote | backslash | below(word, b' ');
        if special != 0 {
            let first = special.trailing_zeros();
            not_ascii |= word & HIGH & ((1 << first) - 1);
            return PartEnd { at: at + first as usize / 8, is_ascii: not_ascii == 0 };
        }
        not_ascii |= word & HIGH;
        at += 8;
    }
    let rest = text.get(at..).unwrap_or_default();
    let is_special = |byte: &u8| matches!(byte, b'"' | b'\\' | ..b' ');
    let end = rest.iter().position(is_special).unwrap_or(rest.len());
    PartEnd { at: at + end, is_ascii: not_ascii == 0 && rest[..end].is_ascii() }
}

/// Passes on the characters of a text with escapes. `None` if an escape stands for half of a
/// character. `tape` is memory.
pub(super) fn unescape<T>(
    quoted: &[u8],
    tape: &mut Vec<u8>,
    read: impl FnOnce(&str) -> T,
) -> Option<T> {
    let mut json = Jiter::with_tape(quoted, mem::take(tape));
    let result = json.next_str().ok().map(read);
    *tape = json.into_tape();
    result
}
