//! What the decoder must make of a reply, whatever is in it.

use std::collections::BTreeMap;

use bytes::Bytes;
use cxbackfill::testing::{Dataset, Decoder, Interval, Page, PageParser};
use serde_json::value::RawValue;

use super::row_oracle::{self, Object};

/// The members of an object as they came.
type Members<'a> = BTreeMap<String, &'a RawValue>;

/// Values nest so deep at most in a row that is decoded.
const MAX_DEPTH: usize = 200;

/// A dataset with every type of column, nested and in lists.
pub const EVERYTHING: &str = include_str!("everything.toml");

/// A dataset whose rows are a list that is the value of one top-level key.
pub struct PageOracle {
    dataset: std::sync::Arc<Dataset>,
    list: &'static str,
    parser: PageParser,
    decoder: Decoder,
}

/// What became of a reply.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It was refused as a whole.
    Refused,
    /// So many of its rows were decoded, and so many quarantined.
    Decoded { rows: usize, bad: usize },
}

impl PageOracle {
    pub fn new(dataset: std::sync::Arc<Dataset>, list: &'static str) -> Self {
        let parser = PageParser::new(dataset.endpoint(), Vec::new());
        let decoder = Decoder::new(&dataset);
        Self { dataset, list, parser, decoder }
    }

    /// Parses and decodes a reply, and checks that no row is lost and no value changed.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn judge(&self, body: &[u8]) -> Result<Verdict, String> {
        let told = self.told_rows(body);
        let reply = match (self.parser.find(Bytes::copy_from_slice(body)), &told) {
            (Err(_), None) => return Ok(Verdict::Refused),
            (Err(error), Some(_)) => return Err(format!("refused: {error}")),
            (Ok(reply), _) => reply,
        };
        let raw: Vec<&str> = reply.rows().collect();
        if let Some(told) = told
            && told != raw
        {
            return Err(format!("{} of {} rows were found", raw.len(), told.len()));
        }
        let all = Interval::new(-100_000_000_000_000, 100_000_000_000_000).ok_or("no interval")?;
        let page = self.decoder.decode(&reply, all).map_err(|error| error.to_string())?;
        self.conserved(&raw, &page)?;
        Ok(Verdict::Decoded { rows: page.batch.num_rows(), bad: page.bad.len() })
    }

    /// The rows of a reply that is valid JSON with one list at its place. `None` if it is not.
    fn told_rows<'b>(&self, body: &'b [u8]) -> Option<Vec<&'b str>> {
        let text = str::from_utf8(body).ok()?;
        let members: Members = serde_json::from_str(text).ok()?;
        let list: Vec<&RawValue> = serde_json::from_str(members.get(self.list)?.get()).ok()?;
        // of two lists under one key it is not said which one counts
        let is_alone = text.matches(self.list).count() == 1;
        is_alone.then(|| list.into_iter().map(RawValue::get).collect())
    }

    /// Checks that each row is in the batch as it was told, of another time, or quarantined for a
    /// reason.
    fn conserved(&self, raw: &[&str], page: &Page) -> Result<(), String> {
        let rows = page.batch.num_rows();
        let (received, not_owned, bad) = (page.received, page.not_owned, page.bad.len());
        if raw.len() as u64 != received || received != rows as u64 + not_owned + bad as u64 {
            let found = raw.len();
            return Err(format!("{found} = {received} = {rows} + {not_owned} + {bad} rows"));
        }
        if page.keys.len() != rows {
            return Err(format!("{} keys of {rows} rows", page.keys.len()));
        }
        let mut bad = page.bad.iter().peekable();
        let mut decoded = 0;
        for (at, text) in raw.iter().enumerate() {
            // a row that is not UTF-8 has no text
            let is_bad = bad.next_if(|bad| text.is_empty() || bad.raw == text.as_bytes()).is_some();
            let result = match is_bad {
                true => self.must_be_bad(text),
                // which of the others are of another time is not said
                false if not_owned > 0 => Ok(()),
                false => row_oracle::compare(text, &page.batch, decoded),
            };
            decoded += usize::from(!is_bad);
            result.map_err(|fault| format!("row {at}: {fault}"))?;
        }
        match bad.next() {
            Some(bad) => Err(format!("quarantined and no row: {:?}", bad.raw)),
            None => Ok(()),
        }
    }

    /// Checks that a row cannot be decoded: it is no object, or lacks its id or its time.
    fn must_be_bad(&self, text: &str) -> Result<(), String> {
        let Ok(Object(members)) = serde_json::from_str(text) else { return Ok(()) };
        let value = |name: &String| {
            let last = members.iter().rev().find(|(key, _)| key.name == **name);
            last.map(|(_, value)| value.get())
        };
        let is_text = |name: &String| {
            let text = value(name).and_then(|value| serde_json::from_str::<String>(value).ok());
            text.is_some_and(|text| !text.trim().is_empty())
        };
        // whether another time is one is for the tests of times to say
        let has_key = self.dataset.id.iter().all(is_text)
            && value(&self.dataset.time).is_some_and(is_plain_time);
        if has_key && nesting(text) < MAX_DEPTH {
            return Err(format!("it was quarantined: {text}"));
        }
        Ok(())
    }
}

/// `"2024-01-01T00:00:00.000Z"` of this century.
fn is_plain_time(json: &str) -> bool {
    let time = json.trim_matches('"');
    json.len() == time.len() + 2
        && time.len() == 24
        && time.starts_with("20")
        && time.parse::<jiff::Timestamp>().is_ok()
}

/// The number of brackets that are open at once at most, those in texts included.
fn nesting(text: &str) -> usize {
    let (mut open, mut most) = (0usize, 0);
    for byte in text.bytes() {
        match byte {
            b'{' | b'[' => open += 1,
            b'}' | b']' => open = open.saturating_sub(1),
            _ => {}
        }
        most = most.max(open);
    }
    most
}
