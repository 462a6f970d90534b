//! Reads a value into its column, by the column's type.
//!
//! The usual form of a type is tried first: a text in ASCII without escapes, an integer, a time as
//! nearly every API writes it. `scalar` has the other forms.

use super::{Path, RowError, RowReader, sparse_list::is_sparse};
use crate::decode::{
    columns::{Column, Texts, Values},
    drift::DriftKind,
    form::{NumberForm, TimeForm},
    instant::usual_instant,
    json::{Text, unescape},
    scalar::{Misfit, Scalar, boolean, integer},
};

/// What was read of a value that is not null.
#[derive(PartialEq, Eq)]
pub(super) enum Outcome {
    /// A value.
    Present,
    /// A form of null, such as an empty text.
    Absent,
    /// It does not fit its column, and was consumed or not.
    Misfit,
}

impl RowReader<'_, '_> {
    /// Reads the most frequent value, a text in ASCII without escapes, into a column of texts.
    /// Returns whether there is one, and reads nothing if not.
    #[inline]
    pub(super) fn plain_text(
        &mut self,
        first: u8,
        column: &mut Column,
        row: usize,
    ) -> Result<bool, RowError> {
        if first != b'"' || !matches!(column.values, Values::Text(_)) {
            return Ok(false);
        }
        let Some((len, input)) = self.json.ascii_text() else { return Ok(false) };
        column.pad(row);
        if let Values::Text(texts) = &mut column.values {
            texts.push_front(len, input)?;
        }
        column.valid.push_valid();
        Ok(true)
    }

    /// Reads a value that is not null and begins with the byte `first`. The column has no value for
    /// `row` yet.
    pub(super) fn value(
        &mut self,
        first: u8,
        column: &mut Column,
        row: usize,
        path: &Path<'_>,
    ) -> Result<(), RowError> {
        column.pad(row);
        let start = self.json.position();
        let Column { values, valid, .. } = column;
        let outcome = match values {
            Values::Text(texts) => self.text(first, texts)?,
            Values::Int64(values) => self.int64(first, values)?,
            Values::Double(values, form) => self.double(first, values, form)?,
            Values::Boolean(values) => {
                outcome(self.scalar(first, boolean)?, |value| values.append(value))
            }
            Values::Time(values, form) => self.time(first, values, form)?,
            // these are marked as present first, so that truncating them removes what was read of
            // them
            Values::List(ends, element) if first == b'[' => {
                valid.push_valid();
                let (extra, from) = (self.extra.len(), ends.last());
                self.list(ends, element, path)?;
                let json = self.json.since(start);
                if is_sparse(element, ends.last(), ends.last() - from, json.len()) {
                    column.truncate(row);
                    self.extra.unstage(extra..self.extra.len());
                    self.extra.stage(path, DriftKind::Misfit, start, json);
                }
                return Ok(());
            }
            Values::Struct(fields) if first == b'{' => {
                valid.push_valid();
                return self.object(fields, row, path);
            }
            Values::Map(ends, entries) if first == b'{' => {
                valid.push_valid();
                return self.map(ends, &mut entries.keys, &mut entries.values, path);
            }
            Values::List(..) | Values::Struct(_) | Values::Map(..) => self.absent(start)?,
        };
        match outcome {
            Outcome::Present => valid.push_valid(),
            Outcome::Absent => {}
            Outcome::Misfit => {
                if self.json.position() == start {
                    self.json.skip_value()?;
                }
                self.extra.stage(path, DriftKind::Misfit, start, self.json.since(start));
            }
        }
        Ok(())
    }

    /// Reads a text, or what stands for one. See [`plain_text`](Self::plain_text).
    #[inline(never)]
    pub(super) fn text(&mut self, first: u8, texts: &mut Texts) -> Result<Outcome, RowError> {
        match first {
            b'"' => match self.json.string()? {
                Text::Plain(text) => texts.push(text)?,
                Text::Escaped(quoted) => {
                    match unescape(quoted, self.tape, |text| texts.push(text.as_bytes())) {
                        Some(pushed) => pushed?,
                        None => return Ok(Outcome::Misfit),
                    }
                }
            },
            b'{' | b'[' => return Ok(Outcome::Misfit),
            b't' => {
                self.json.word("true")?;
                texts.push(b"true")?;
            }
            b'f' => {
                self.json.word("false")?;
                texts.push(b"false")?;
            }
            _ => texts.push(self.json.number()?.text)?,
        }
        Ok(Outcome::Present)
    }

    fn int64(&mut self, first: u8, values: &mut Vec<i64>) -> Result<Outcome, RowError> {
        if let Some(integer) = self.json.plain_integer() {
            values.push(integer);
            return Ok(Outcome::Present);
        }
        if let b'0'..=b'9' | b'-' = first {
            let number = self.json.number()?;
            let exact = || integer(number_scalar(number.text));
            let read = number.integer.map_or_else(exact, |value| Ok(Some(value)));
            return Ok(outcome(read, |value| values.push(value)));
        }
        Ok(outcome(self.scalar(first, integer)?, |value| values.push(value)))
    }

    fn double(
        &mut self,
        first: u8,
        values: &mut Vec<f64>,
        form: &NumberForm,
    ) -> Result<Outcome, RowError> {
        /// Up to here every integer is a double.
        const MAX_EXACT: i64 = 1 << f64::MANTISSA_DIGITS;
        match self.json.plain_integer() {
            Some(integer) if integer <= MAX_EXACT => {
                values.push(integer as f64);
                Ok(Outcome::Present)
            }
            Some(integer) => {
                let read = (form.read)(Scalar::Number(&integer.to_string()));
                Ok(outcome(read, |value| values.push(value)))
            }
            None => Ok(outcome(self.scalar(first, form.read)?, |value| values.push(value))),
        }
    }

    fn time(
        &mut self,
        first: u8,
        times: &mut Vec<i64>,
        form: &TimeForm,
    ) -> Result<Outcome, RowError> {
        if first == b'"'
            && let Some((len, input)) = self.json.ascii_text()
        {
            let text = &input[..len];
            let read = match usual_instant(text) {
                Some(time) => Ok(Some(time)),
                None => form.read(Scalar::Text(str::from_utf8(text).unwrap_or_default())),
            };
            return Ok(outcome(read, |time| times.push(time)));
        }
        Ok(outcome(self.scalar(first, |value| form.read(value))?, |time| times.push(time)))
    }

    /// Reads a text, a number or a boolean by a function. Anything else does not fit, and is not
    /// consumed.
    fn scalar<T>(
        &mut self,
        first: u8,
        read: impl Fn(Scalar<'_>) -> Result<Option<T>, Misfit>,
    ) -> Result<Result<Option<T>, Misfit>, RowError> {
        Ok(match first {
            b'"' => match self.json.string()? {
                Text::Plain(text) => read(Scalar::Text(str::from_utf8(text).unwrap_or_default())),
                Text::Escaped(quoted) => {
                    unescape(quoted, self.tape, |text| read(Scalar::Text(text)))
                        .unwrap_or(Err(Misfit))
                }
            },
            b'{' | b'[' => Err(Misfit),
            b't' => {
                self.json.word("true")?;
                read(Scalar::Boolean(true))
            }
            b'f' => {
                self.json.word("false")?;
                read(Scalar::Boolean(false))
            }
            _ => read(number_scalar(self.json.number()?.text)),
        })
    }

    /// Reads what may stand for no list or no object: an empty text or an empty list.
    fn absent(&mut self, start: usize) -> Result<Outcome, RowError> {
        self.json.skip_value()?;
        let mut text = self.json.since(start).iter().filter(|byte| !byte.is_ascii_whitespace());
        Ok(match (text.next(), text.next(), text.next()) {
            (Some(b'"'), Some(b'"'), None) | (Some(b'['), Some(b']'), None) => Outcome::Absent,
            _ => Outcome::Misfit,
        })
    }
}

/// The text of a number, which is ASCII.
fn number_scalar(text: &[u8]) -> Scalar<'_> {
    Scalar::Number(str::from_utf8(text).unwrap_or_default())
}

/// Passes on a value that fits.
#[inline]
fn outcome<T>(read: Result<Option<T>, Misfit>, push: impl FnOnce(T)) -> Outcome {
    match read {
        Ok(Some(value)) => {
            push(value);
            Outcome::Present
        }
        Ok(None) => Outcome::Absent,
        Err(Misfit) => Outcome::Misfit,
    }
}
