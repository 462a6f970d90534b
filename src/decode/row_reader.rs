//! Reads the JSON of a row into columns, in one pass and directed by their types.
//!
//! It descends only where a column does, so its depth is that of the catalogue; everything else is
//! skipped without recursion (G8). A value that does not fit its column and the value of an unknown
//! key are kept beside the columns, see [`Extra`].

use std::borrow::Cow;

use crate::decode::{
    column::{Column, Ends, Texts, Values},
    drift::DriftKind,
    extra::Extra,
    fields::{FieldColumns, Place},
    form::{NumberForm, TimeForm},
    instant::usual_instant,
    json::{Json, Text, unescape},
    map_entries::keep_last_entries,
    path::Path,
    row_error::RowError,
    scalar::{Misfit, Scalar, boolean, integer},
    sparse_list::is_sparse,
};

/// Reads the row at the beginning of a text into the columns of its fields, and returns its length.
/// `is_alone` says that nothing may follow it; `tape` is memory for texts with escapes.
pub(super) fn read_row(
    text: &[u8],
    is_alone: bool,
    row: usize,
    columns: &mut FieldColumns,
    extra: &mut Extra,
    tape: &mut Vec<u8>,
) -> Result<usize, RowError> {
    if text.first() != Some(&b'{') {
        return Err(RowError::Undecodable("the row is not an object".to_owned()));
    }
    extra.begin_row();
    let mut reader = RowReader { json: Json::new(text), extra, tape };
    reader.object(columns, row, &Path::ROW)?;
    if is_alone {
        reader.json.finish()?;
    }
    Ok(reader.json.position())
}

struct RowReader<'j, 'r> {
    json: Json<'j>,
    extra: &'r mut Extra,
    tape: &'r mut Vec<u8>,
}

/// What was read of a value that is not null.
#[derive(PartialEq, Eq)]
enum Outcome {
    /// A value.
    Present,
    /// A form of null, such as an empty text.
    Absent,
    /// It does not fit its column, and was consumed or not.
    Misfit,
}

impl<'j> RowReader<'j, '_> {
    /// Reads the object that begins here.
    fn object(
        &mut self,
        columns: &mut FieldColumns,
        row: usize,
        path: &Path<'_>,
    ) -> Result<(), RowError> {
        self.json.skip_byte();
        columns.begin_object();
        let mut previous = None;
        let mut is_first = true;
        loop {
            let key = match columns.skip_expected_key(&mut self.json, previous, is_first) {
                Some(key) => key,
                None => {
                    if !self.json.next_member(is_first)? {
                        return Ok(());
                    }
                    is_first = false;
                    let name = self.key()?;
                    match columns.find(previous, &name) {
                        Some(key) => key,
                        None => {
                            self.unknown(&path.field(&name))?;
                            continue;
                        }
                    }
                }
            };
            is_first = false;
            previous = Some(key);
            self.member(columns, key, row, path)?;
        }
    }

    /// Reads the value of a key that the columns know.
    fn member(
        &mut self,
        columns: &mut FieldColumns,
        key: usize,
        row: usize,
        path: &Path<'_>,
    ) -> Result<(), RowError> {
        let extra = self.extra.len();
        let first = self.json.peek();
        let start = self.json.position();
        match columns.usual_place(key) {
            Some(_) if first == b'n' => self.json.word("null")?,
            Some((column, name)) => self.value(first, column, row, &path.field(name))?,
            None => return self.unusual_member(columns, key, row, path),
        }
        if self.extra.len() > extra {
            self.note_extra(columns, key, extra, start, path);
        }
        Ok(())
    }

    /// Notes that values from the value `extra` on do not fit, which are inside the value that
    /// began at `start`.
    #[cold]
    fn note_extra(
        &mut self,
        columns: &mut FieldColumns,
        key: usize,
        extra: usize,
        start: usize,
        path: &Path<'_>,
    ) {
        if self.extra.is_full() && path.is_row() {
            let json = self.json.since(start);
            self.extra.collapse(extra, columns.name(key), start, json);
        }
        columns.note_extra(key, extra..self.extra.len());
    }

    /// Reads the value of a key that came before in the object, is one of several of a column, or
    /// is ignored.
    fn unusual_member(
        &mut self,
        columns: &mut FieldColumns,
        key: usize,
        row: usize,
        path: &Path<'_>,
    ) -> Result<(), RowError> {
        if let Some(extra) = columns.note(key) {
            self.extra.count_duplicate_keys(1);
            self.extra.unstage(extra);
        }
        let extra = self.extra.len();
        let first = self.json.peek();
        let start = self.json.position();
        let is_null = first == b'n';
        if !is_null && let Some((alias, value)) = columns.aliased(key) {
            let json = self.json.part(value.clone());
            self.extra.stage(&path.field(alias), DriftKind::NewField, value.start, json);
        }
        match columns.place(key, row, is_null) {
            Place::Column(column, name) => {
                let path = path.field(name);
                self.value(first, column, row, &path)?;
            }
            Place::Superfluous(name) => self.unknown(&path.field(name))?,
            Place::Skip => self.json.skip_value()?,
        }
        columns.note_alias_value(key, start..self.json.position());
        if self.extra.len() > extra {
            self.note_extra(columns, key, extra, start, path);
        }
        Ok(())
    }

    /// Keeps the value of a key that no column has.
    #[cold]
    fn unknown(&mut self, path: &Path<'_>) -> Result<(), RowError> {
        let is_null = self.json.peek() == b'n';
        let start = self.json.position();
        self.json.skip_value()?;
        if !is_null {
            self.extra.stage(path, DriftKind::NewField, start, self.json.since(start));
        }
        Ok(())
    }

    /// Reads the key that begins here.
    fn key(&mut self) -> Result<Cow<'j, str>, RowError> {
        Ok(match self.json.key()? {
            Text::Plain(name) => String::from_utf8_lossy(name),
            // a key that is not a text is none of the columns' either
            Text::Escaped(quoted) => unescape(quoted, self.tape, str::to_owned)
                .unwrap_or_else(|| String::from_utf8_lossy(quoted).into_owned())
                .into(),
        })
    }

    /// Reads a value that is not null and begins with the byte `first`. The column has no value for
    /// `row` yet.
    fn value(
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
            // these are marked as present first, so that truncating them removes what was read of them
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
            Values::Map(ends, keys, values) if first == b'{' => {
                valid.push_valid();
                return self.map(ends, keys, values, path);
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

    #[inline]
    fn text(&mut self, first: u8, texts: &mut Texts) -> Result<Outcome, RowError> {
        if first == b'"'
            && let Some((len, input)) = self.json.ascii_text()
        {
            texts.push_front(len, input)?;
            return Ok(Outcome::Present);
        }
        self.unusual_text(first, texts)
    }

    /// Reads a text that is not plain ASCII, or what stands for one.
    fn unusual_text(&mut self, first: u8, texts: &mut Texts) -> Result<Outcome, RowError> {
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
        const MAX_EXACT: u64 = 1 << f64::MANTISSA_DIGITS;
        if let b'0'..=b'9' | b'-' = first {
            let number = self.json.number()?;
            let exact = number.integer.filter(|integer| integer.unsigned_abs() <= MAX_EXACT);
            let read = match exact {
                Some(integer) => Ok(Some(integer as f64)),
                None => (form.read)(number_scalar(number.text)),
            };
            return Ok(outcome(read, |value| values.push(value)));
        }
        Ok(outcome(self.scalar(first, form.read)?, |value| values.push(value)))
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

    fn list(
        &mut self,
        ends: &mut Ends,
        element: &mut Column,
        path: &Path<'_>,
    ) -> Result<(), RowError> {
        let from = ends.last();
        let mut end = from;
        ends.push(end)?;
        self.json.skip_byte();
        while self.json.next_element(end == from)? {
            match self.json.peek() {
                b'n' => self.json.word("null")?,
                first => self.value(first, element, end, &path.element(end - from))?,
            }
            end += 1;
        }
        Ok(ends.move_last(end)?)
    }

    fn map(
        &mut self,
        ends: &mut Ends,
        keys: &mut Texts,
        values: &mut Column,
        path: &Path<'_>,
    ) -> Result<(), RowError> {
        let from = ends.last();
        ends.push(from)?;
        self.json.skip_byte();
        let mut is_first = true;
        while self.json.next_member(is_first)? {
            is_first = false;
            let entry = keys.len();
            match self.json.key()? {
                Text::Plain(key) => keys.push(key)?,
                Text::Escaped(quoted) => {
                    match unescape(quoted, self.tape, |key| keys.push(key.as_bytes())) {
                        Some(pushed) => pushed?,
                        None => {
                            // what is no text cannot be a key
                            let name = String::from_utf8_lossy(quoted);
                            self.unknown(&path.entry(&name))?;
                            continue;
                        }
                    }
                }
            }
            match self.json.peek() {
                b'n' => self.json.word("null")?,
                first => {
                    if let Some(at) = self.entry(first, values, entry)? {
                        let name = keys.last();
                        let json = self.json.since(at);
                        self.extra.stage(&path.entry(&name), DriftKind::Misfit, at, json);
                    }
                }
            }
        }
        let repeated = keep_last_entries(from, keys, values)?;
        if repeated > 0 {
            self.extra.count_duplicate_keys(repeated);
        }
        Ok(ends.move_last(keys.len())?)
    }

    /// Reads the value of a map's entry. Returns where it begins if it does not fit.
    fn entry(
        &mut self,
        first: u8,
        values: &mut Column,
        entry: usize,
    ) -> Result<Option<usize>, RowError> {
        values.pad(entry);
        let start = self.json.position();
        let Values::Text(texts) = &mut values.values else { return Ok(None) };
        match self.text(first, texts)? {
            Outcome::Present => values.valid.push_valid(),
            Outcome::Absent => {}
            Outcome::Misfit => {
                if self.json.position() == start {
                    self.json.skip_value()?;
                }
                return Ok(Some(start));
            }
        }
        Ok(None)
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
