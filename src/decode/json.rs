//! The JSON of a row, read token by token and strictly.
//!
//! A text without escapes is a part of the input. What needs more than that is left to `jiter`: see
//! [`unescape`].

use std::{mem, ops::Range};

use jiter::Jiter;

use crate::decode::byte_search::string_part;

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
    #[inline]
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
        match self.text.get(self.at) {
            Some(&byte @ b'!'..) => byte,
            _ => self.peek_behind_space(),
        }
    }

    #[inline(never)]
    fn peek_behind_space(&mut self) -> u8 {
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

    /// What was not read yet.
    #[inline]
    pub(super) fn rest(&self) -> &'j [u8] {
        self.text.get(self.at..).unwrap_or_default()
    }

    /// Skips bytes that were looked at.
    #[inline]
    pub(super) fn skip(&mut self, bytes: usize) {
        self.at += bytes;
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

    /// Reads the text that begins here, if it is ASCII without escapes. Returns its length and the
    /// input from its first character on.
    #[inline]
    pub(super) fn ascii_text(&mut self) -> Option<(usize, &'j [u8])> {
        let from = self.at + 1;
        let end = string_part(self.text, from);
        let is_it = end.is_ascii && self.text.get(end.at) == Some(&b'"');
        is_it.then(|| {
            self.at = end.at + 1;
            (end.at - from, &self.text[from..])
        })
    }

    /// Reads the text that begins here.
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

    /// Reads the number that begins here, if it is an integer of at most 18 digits without a sign.
    #[inline]
    pub(super) fn plain_integer(&mut self) -> Option<i64> {
        let (mut at, mut value) = (self.at, 0i64);
        let digit = |at: usize| self.text.get(at).map(|byte| byte.wrapping_sub(b'0'));
        while let Some(digit @ 0..=9) = digit(at) {
            value = value.wrapping_mul(10).wrapping_add(i64::from(digit));
            at += 1;
        }
        let digits = at - self.at;
        let is_plain = matches!(digits, 1..=18) && (digits == 1 || self.text[self.at] != b'0');
        if !is_plain || matches!(self.text.get(at), Some(b'.' | b'e' | b'E')) {
            return None;
        }
        self.at = at;
        Some(value)
    }

    /// Reads the number that should begin here.
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
    #[inline]
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
