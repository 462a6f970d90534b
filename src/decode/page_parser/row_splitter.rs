//! Finds the rows of a page without reading them, so that one bad byte costs its row and not the
//! page.
//!
//! It knows strings and brackets only: a raw control character, a byte that is not UTF-8 or a bare
//! `NaN` in a row does not matter to it. Whether a row is valid is for the decoder to say, and what
//! is around the rows has to be valid: see [`SplitPage::frame`].

use std::ops::Range;

use crate::decode::byte_search::{Block, string_part};

/// A page that was taken apart.
pub(super) struct SplitPage {
    /// The page with an empty list in the place of its rows.
    pub frame: Vec<u8>,
    /// The position of the list of rows, with its brackets.
    pub list: Range<usize>,
    /// The number of rows in the list.
    pub rows: usize,
}

/// Takes a page apart whose rows are in the list at `path`. `None` if strings or brackets do not
/// match, as in a truncated page, or if the page lacks the list.
pub(super) fn split(page: &[u8], path: &[String]) -> Option<SplitPage> {
    let mut scanner = Scanner::at(page, 0);
    for key in path {
        scanner.enter_member(key.as_bytes())?;
    }
    scanner.skip_space();
    let from = scanner.at;
    let rows = scanner.elements()?;
    let list = from..scanner.at;
    let frame = [&page[..from], b"[]", &page[scanner.at..]].concat();
    Some(SplitPage { frame, list, rows })
}

/// Takes a page apart whose rows are in its only list: see [`walk`](mod@super::walk).
pub(super) fn split_only_list(page: &[u8]) -> Option<SplitPage> {
    let mut lists = Vec::new();
    Scanner::at(page, 0).find_lists(0, &mut lists)?;
    let level = lists.iter().map(|(level, ..)| *level).min()?;
    let mut of_level = lists.into_iter().filter(|(of, ..)| *of == level);
    let (_, list, rows) = of_level.next()?;
    let frame = [&page[..list.start], b"[]", &page[list.end..]].concat();
    of_level.next().is_none().then_some(SplitPage { frame, list, rows })
}

/// The position of the next row of a list that was split, at or after `at`, which is between rows.
pub(in crate::decode) fn next_row(page: &[u8], at: usize) -> Range<usize> {
    let mut scanner = Scanner::at(page, at);
    scanner.skip_space();
    let from = scanner.at;
    match scanner.skip_value() {
        Some(()) => from..scanner.at,
        // only in a page that was not split
        None => page.len()..page.len(),
    }
}

/// The position where the next row begins, if `at` is between rows.
pub(in crate::decode) fn row_start(page: &[u8], at: usize) -> usize {
    let mut scanner = Scanner::at(page, at);
    scanner.skip_space();
    if scanner.peek() == Some(b',') {
        scanner.at += 1;
        scanner.skip_space();
    }
    scanner.at
}

struct Scanner<'p> {
    page: &'p [u8],
    at: usize,
    /// The brackets that close the open values.
    closing: Vec<u8>,
}

impl<'p> Scanner<'p> {
    fn at(page: &'p [u8], at: usize) -> Self {
        Self { page, at, closing: Vec::new() }
    }

    fn peek(&self) -> Option<u8> {
        self.page.get(self.at).copied()
    }

    fn skip_space(&mut self) {
        while self.peek().is_some_and(|byte| byte.is_ascii_whitespace()) {
            self.at += 1;
        }
    }

    /// Skips space and this byte. `None` if there is another.
    fn expect(&mut self, byte: u8) -> Option<()> {
        self.skip_space();
        (self.peek()? == byte).then(|| self.at += 1)
    }

    /// Goes to the value of a key of the object that begins here.
    fn enter_member(&mut self, key: &[u8]) -> Option<()> {
        self.expect(b'{')?;
        loop {
            self.skip_space();
            let from = self.at + 1;
            self.skip_string()?;
            let is_it = self.page[from..self.at - 1] == *key;
            self.expect(b':')?;
            if is_it {
                return Some(());
            }
            self.skip_value()?;
            self.expect(b',')?;
        }
    }

    /// Adds the lists in the value that begins here, at most two objects deep. Goes to its end.
    fn find_lists(
        &mut self,
        level: usize,
        lists: &mut Vec<(usize, Range<usize>, usize)>,
    ) -> Option<()> {
        self.skip_space();
        let from = self.at;
        match self.peek()? {
            b'[' => {
                let rows = self.elements()?;
                lists.push((level, from..self.at, rows));
                Some(())
            }
            b'{' if level < 3 => {
                self.at += 1;
                if self.expect(b'}').is_some() {
                    return Some(());
                }
                loop {
                    self.skip_space();
                    self.skip_string()?;
                    self.expect(b':')?;
                    self.find_lists(level + 1, lists)?;
                    if self.expect(b',').is_none() {
                        return self.expect(b'}');
                    }
                }
            }
            _ => self.skip_value(),
        }
    }

    /// The number of elements of the list that begins here. Goes to its end.
    fn elements(&mut self) -> Option<usize> {
        let mut elements = 0;
        self.expect(b'[')?;
        if self.expect(b']').is_some() {
            return Some(elements);
        }
        loop {
            self.skip_value()?;
            elements += 1;
            if self.expect(b',').is_none() {
                return self.expect(b']').map(|()| elements);
            }
        }
    }

    fn skip_value(&mut self) -> Option<()> {
        self.skip_space();
        match self.peek()? {
            b'"' => self.skip_string(),
            b'{' | b'[' => self.skip_nested(),
            _ => self.skip_word(),
        }
    }

    /// Skips a number or a word such as `NaN`.
    fn skip_word(&mut self) -> Option<()> {
        let from = self.at;
        let is_end = |byte: u8| byte.is_ascii_whitespace() || b",:[]{}\"".contains(&byte);
        while self.peek().is_some_and(|byte| !is_end(byte)) {
            self.at += 1;
        }
        (self.at > from).then_some(())
    }

    fn skip_string(&mut self) -> Option<()> {
        (self.peek()? == b'"').then_some(())?;
        self.at += 1;
        loop {
            self.at = string_part(self.page, self.at).at;
            match self.peek()? {
                b'"' => {
                    self.at += 1;
                    return Some(());
                }
                b'\\' => self.at += 2,
                _ => self.at += 1,
            }
        }
    }

    /// Skips an object or a list, without recursion.
    fn skip_nested(&mut self) -> Option<()> {
        self.closing.clear();
        let mut is_in_text = false;
        while self.at < self.page.len() {
            let block = Block::new(&self.page[self.at..]);
            // a byte after a backslash in a text belongs to it, so the next block begins behind
            let backslash = block.backslashes.trailing_zeros();
            let before = 1u64.checked_shl(backslash).unwrap_or(0).wrapping_sub(1);
            let in_texts = Block::in_texts(block.quotes & before, is_in_text);
            let mut brackets = block.brackets & before & !in_texts;
            while brackets != 0 {
                let at = self.at + brackets.trailing_zeros() as usize;
                if self.enter_or_leave(self.page[at])? {
                    self.at = at + 1;
                    return Some(());
                }
                brackets &= brackets - 1;
            }
            is_in_text = in_texts >> 63 == 1;
            self.at += match backslash {
                64 => 64,
                _ => backslash as usize + if is_in_text { 2 } else { 1 },
            };
        }
        None
    }

    /// Opens or closes a value. Returns whether none is open any more. `None` if brackets do not
    /// match.
    fn enter_or_leave(&mut self, bracket: u8) -> Option<bool> {
        match bracket {
            b'{' => self.closing.push(b'}'),
            b'[' => self.closing.push(b']'),
            _ if self.closing.pop() == Some(bracket) => {}
            _ => return None,
        }
        Some(self.closing.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn positions(page: &[u8], split: &SplitPage) -> Vec<Range<usize>> {
        let mut at = split.list.start + 1;
        let next = |_| {
            let row = next_row(page, row_start(page, at));
            at = row.end;
            row
        };
        (0..split.rows).map(next).collect()
    }

    fn rows(page: &[u8]) -> Option<(Vec<u8>, Vec<&[u8]>)> {
        let split = split(page, &["data".to_owned(), "rows".to_owned()])?;
        let rows = positions(page, &split).into_iter().map(|row| &page[row]).collect();
        Some((split.frame, rows))
    }

    #[test]
    fn rows_are_found_around_bad_bytes() {
        let page = b"{\"n\": [1, {}], \"data\": {\"a\\\"b\": \"]}\", \"rows\": [{\"a\": \"\xff\"}, NaN , \"\x01\\\"\", [{}]], \"x\": 1}}";
        let (frame, rows) = rows(page).unwrap();
        assert_eq!(frame, br#"{"n": [1, {}], "data": {"a\"b": "]}", "rows": [], "x": 1}}"#);
        assert_eq!(rows, [b"{\"a\": \"\xff\"}".as_slice(), b"NaN", b"\"\x01\\\"\"", b"[{}]"]);
    }

    #[test]
    fn a_page_whose_brackets_do_not_match_is_not_split() {
        let page = br#"{"data": {"rows": [{"a": [1]}, {"b": "x"}]}}"#;
        let list_end = page.len() - 2;
        for end in 0..list_end {
            assert_eq!(rows(&page[..end]), None, "{end}");
        }
        for page in
            [r#"{"data": {"rows": [{]}]}}"#, r#"{"data": {"rows": [1 2]}}"#, r#"{"data": []}"#]
        {
            assert_eq!(rows(page.as_bytes()), None, "{page}");
        }
        assert_eq!(rows(br#"{"data": {"rows": [ ]}}"#).unwrap().1, [b""; 0]);
    }

    proptest! {
        #[test]
        fn any_bytes_are_split_or_not(page in prop::collection::vec(
            prop::sample::select(b"{}[]\",:\\ 0aN\xff\x01".to_vec()), 0..60
        )) {
            if let Some(split) = split(&page, &[]) {
                let rows = positions(&page, &split);
                prop_assert!(rows.windows(2).all(|pair| pair[0].end < pair[1].start));
                prop_assert!(rows.iter().all(|row| !row.is_empty() && row.end < split.list.end));
            }
        }
    }
}
