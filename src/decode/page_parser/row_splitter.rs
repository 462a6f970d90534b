//! Finds the rows of a page that is not valid JSON, so that one bad byte costs its row and not the
//! page.
//!
//! It knows strings and brackets only: a raw control character, a byte that is not UTF-8 or a bare
//! `NaN` in a row does not matter to it. Whether a row is valid is for the decoder to say, and what
//! is around the rows has to be valid: see [`SplitPage::frame`].

use super::row_ranges::RowRanges;

/// A page that was taken apart.
pub(super) struct SplitPage {
    /// The page with an empty list in the place of its rows.
    pub frame: Vec<u8>,
    /// The positions of the rows in the page, of which each is a row as it came.
    pub rows: RowRanges,
}

/// Takes a page apart whose rows are in the list at `path`. `None` if strings or brackets do not
/// match, as in a truncated page, or if the page lacks the list.
pub(super) fn split(page: &[u8], path: &[String]) -> Option<SplitPage> {
    let mut scanner = Scanner { page, at: 0 };
    for key in path {
        scanner.enter_member(key.as_bytes())?;
    }
    scanner.skip_space();
    let from = scanner.at;
    let rows = scanner.elements()?;
    let frame = [&page[..from], b"[]", &page[scanner.at..]].concat();
    Some(SplitPage { frame, rows })
}

struct Scanner<'p> {
    page: &'p [u8],
    at: usize,
}

impl Scanner<'_> {
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

    /// The positions of the elements of the list that begins here. Goes to its end.
    fn elements(&mut self) -> Option<RowRanges> {
        let mut elements = RowRanges::default();
        self.expect(b'[')?;
        self.skip_space();
        if self.expect(b']').is_some() {
            return Some(elements);
        }
        loop {
            self.skip_space();
            let from = self.at;
            self.skip_value()?;
            elements.push(from..self.at).ok()?;
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
        let mut closing = Vec::new();
        loop {
            match self.peek()? {
                b'"' => {
                    self.skip_string()?;
                    continue;
                }
                b'{' => closing.push(b'}'),
                b'[' => closing.push(b']'),
                byte @ (b'}' | b']') if closing.pop() != Some(byte) => return None,
                _ => {}
            }
            self.at += 1;
            if closing.is_empty() {
                return Some(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rows(page: &[u8]) -> Option<(Vec<u8>, Vec<&[u8]>)> {
        let SplitPage { frame, rows } = split(page, &["data".to_owned(), "rows".to_owned()])?;
        Some((frame, rows.iter().map(|row| &page[row]).collect()))
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
            if let Some(SplitPage { rows, .. }) = split(&page, &[]) {
                let rows: Vec<_> = rows.iter().collect();
                prop_assert!(rows.windows(2).all(|pair| pair[0].end <= pair[1].start));
            }
        }
    }
}
