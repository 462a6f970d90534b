//! Appends JSON to a byte buffer. No tree of values is built, so that pages are written faster than
//! any client reads them.

use std::io::Write as _;

use serde_json::Value;

use crate::sandbox::{
    rng::Uuid,
    time::{DAY_MS, iso},
};

/// A JSON writer. It inserts commas; the caller closes what it opens.
#[derive(Debug, Default)]
pub(super) struct Json {
    out: Vec<u8>,
    /// The day of the time written last, and its date up to the `T`: the next time is nearly always
    /// of the same day.
    date: Option<(i64, String)>,
}

impl Json {
    pub(super) fn with_capacity(bytes: usize) -> Self {
        Self { out: Vec::with_capacity(bytes), date: None }
    }

    pub(super) fn into_bytes(self) -> bytes::Bytes {
        self.out.into()
    }

    pub(super) fn len(&self) -> usize {
        self.out.len()
    }

    /// Opens an object or a list (`{` or `[`) as an element of a list or as the whole document.
    pub(super) fn open(&mut self, bracket: u8) {
        self.comma();
        self.out.push(bracket);
    }

    /// Opens an object or a list (`{` or `[`) as a field of an object.
    pub(super) fn open_field(&mut self, key: &str, bracket: u8) {
        self.key(key);
        self.out.push(bracket);
    }

    pub(super) fn close(&mut self, bracket: u8) {
        self.out.push(bracket);
    }

    /// Changes what was written since the document had `from` bytes: one object, with the comma in
    /// front of it.
    pub(super) fn change_since(&mut self, from: usize, change: impl FnOnce(&mut Value)) {
        let start = from + usize::from(self.out.get(from) == Some(&b','));
        let Some(mut object) = self.out.get(start..).and_then(|o| serde_json::from_slice(o).ok())
        else {
            return;
        };
        change(&mut object);
        self.out.truncate(start);
        self.out.extend_from_slice(object.to_string().as_bytes());
    }

    /// Ends a line of NDJSON.
    pub(super) fn newline(&mut self) {
        self.out.push(b'\n');
    }

    fn comma(&mut self) {
        if !matches!(self.out.last(), None | Some(b'{' | b'[' | b'\n')) {
            self.out.push(b',');
        }
    }

    fn key(&mut self, key: &str) {
        self.comma();
        self.quoted(key.as_bytes());
        self.out.push(b':');
    }

    fn quoted(&mut self, text: &[u8]) {
        self.out.push(b'"');
        self.out.extend_from_slice(text);
        self.out.push(b'"');
    }

    /// A string field. `text` must be escaped already.
    pub(super) fn text(&mut self, key: &str, text: &str) {
        self.key(key);
        self.quoted(text.as_bytes());
    }

    /// A list of strings, which must be escaped already.
    pub(super) fn texts(&mut self, key: &str, texts: &[&str]) {
        self.open_field(key, b'[');
        for text in texts {
            self.comma();
            self.quoted(text.as_bytes());
        }
        self.close(b']');
    }

    pub(super) fn uuid(&mut self, key: &str, id: Uuid) {
        self.key(key);
        self.quoted(&id.text());
    }

    pub(super) fn uuids(&mut self, key: &str, ids: &[Uuid]) {
        self.open_field(key, b'[');
        for id in ids {
            self.comma();
            self.quoted(&id.text());
        }
        self.close(b']');
    }

    pub(super) fn flag(&mut self, key: &str, flag: bool) {
        self.key(key);
        self.out.extend_from_slice(if flag { b"true" } else { b"false" });
    }

    pub(super) fn number(&mut self, key: &str, number: i64) {
        self.key(key);
        self.digits(number);
    }

    pub(super) fn numbers(&mut self, key: &str, numbers: &[i64]) {
        self.open_field(key, b'[');
        for &number in numbers {
            self.comma();
            self.digits(number);
        }
        self.close(b']');
    }

    /// A double with all its digits, as the platform writes them: `4.8806586265563965`.
    pub(super) fn double(&mut self, key: &str, number: f64) {
        self.key(key);
        // writing to a vector cannot fail
        let _ = write!(self.out, "{number:?}");
    }

    /// A time in milliseconds since 1970. Like the platform, without milliseconds if they are 0.
    pub(super) fn time(&mut self, key: &str, ms: i64) {
        self.key(key);
        let (day, of_day) = (ms.div_euclid(DAY_MS), ms.rem_euclid(DAY_MS));
        if self.date.as_ref().is_none_or(|(known, _)| *known != day) {
            let date = iso(day * DAY_MS).split_inclusive('T').next().unwrap_or_default().to_owned();
            self.date = Some((day, date));
        }
        self.out.push(b'"');
        if let Some((_, date)) = &self.date {
            self.out.extend_from_slice(date.as_bytes());
        }
        let (seconds, millis) = (of_day / 1000, of_day % 1000);
        let [h, m, s] = [seconds / 3600, seconds / 60 % 60, seconds % 60].map(two_digits);
        self.out.extend_from_slice(&[h[0], h[1], b':', m[0], m[1], b':', s[0], s[1]]);
        if millis > 0 {
            let [tens, units] = two_digits(millis % 100);
            self.out.extend_from_slice(&[b'.', two_digits(millis / 100)[1], tens, units]);
        }
        self.out.extend_from_slice(b"Z\"");
    }

    fn digits(&mut self, number: i64) {
        let mut digits = [0; 20];
        let mut at = digits.len();
        let mut rest = number.unsigned_abs();
        loop {
            at -= 1;
            digits[at] = two_digits(i64::try_from(rest % 10).unwrap_or(0))[1];
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        if number < 0 {
            self.out.push(b'-');
        }
        self.out.extend_from_slice(&digits[at..]);
    }
}

/// The two decimal digits of a number from 0 to 99.
fn two_digits(number: i64) -> [u8; 2] {
    [b'0' + (number / 10 % 10) as u8, b'0' + (number % 10) as u8]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_without_millis_has_none() {
        let mut json = Json::default();
        json.open(b'{');
        json.time("whole", 1_709_251_199_000);
        json.time("split", 1_709_251_200_007);
        json.numbers("numbers", &[0, -7, i64::MAX, i64::MIN]);
        json.texts("none", &[]);
        json.double("mos", f64::from(4.880_658_6_f32));
        json.close(b'}');
        let text = String::from_utf8(json.into_bytes().to_vec()).unwrap();
        assert_eq!(
            text,
            r#"{"whole":"2024-02-29T23:59:59Z","split":"2024-03-01T00:00:00.007Z","numbers":[0,-7,9223372036854775807,-9223372036854775808],"none":[],"mos":4.8806586265563965}"#
        );
    }
}
