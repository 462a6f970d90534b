//! The records of a CSV file.

use std::io;

use crate::decode::{
    PageError,
    page_parser::{PageParser, RawPage, Rows, quoted, rewritten_rows::RewrittenRows},
};

/// The most characters of a header that an error quotes.
const QUOTED_HEADER: usize = 120;

impl PageParser {
    /// The records of a CSV file as JSON objects of strings, without empty fields.
    ///
    /// # Errors
    /// Fails if the header lacks a column that every row needs, or a record has another number of
    /// fields than the header. A record that is not UTF-8 is kept as it came.
    pub(super) fn csv_records(&self, body: &[u8]) -> Result<RawPage, PageError> {
        let body = body.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(body);
        if body.is_empty() {
            return Ok(RawPage { is_nothing: true, has_list: true, ..RawPage::default() });
        }
        let mut reader = csv::Reader::from_reader(body);
        let header = reader.headers().map_err(PageError::NotCsv)?.clone();
        self.check_header(&header).map_err(not_csv)?;
        let mut written = RewrittenRows::default();
        let mut record = csv::ByteRecord::new();
        loop {
            let from = reader.position().byte() as usize;
            if !reader.read_byte_record(&mut record).map_err(PageError::NotCsv)? {
                break;
            }
            let Ok(record) = csv::StringRecord::from_byte_record(record.clone()) else {
                let raw = &body[from..reader.position().byte() as usize];
                written.unchanged(raw.trim_ascii())?;
                continue;
            };
            let fields = header.iter().zip(&record).filter(|(_, field)| !field.is_empty());
            let fields = fields
                .chain(self.fixed.iter().map(|(column, text)| (column.as_str(), text.as_str())));
            let object: serde_json::Map<_, _> =
                fields.map(|(name, field)| (name.to_owned(), field.into())).collect();
            written.row("", &serde_json::Value::Object(object).to_string(), "")?;
            written.check_size(body)?;
        }
        Ok(RawPage {
            items: written.rows.len() as u64,
            text: written.text.into(),
            rows: Rows::Ranges(written.rows),
            has_list: true,
            ..RawPage::default()
        })
    }

    /// Refuses a first line that is not a header: an error page or a message would look like a
    /// header without records.
    fn check_header(&self, header: &csv::StringRecord) -> Result<(), String> {
        let first = header.get(0).unwrap_or_default().trim_start();
        if first.starts_with(['<', '{', '[']) {
            return Err("it begins like HTML or JSON".to_owned());
        }
        let has = |name: &String| header.iter().any(|column| column == name);
        let lacking: Vec<_> = self.required.iter().filter(|names| !names.iter().any(has)).collect();
        if lacking.is_empty() {
            return Ok(());
        }
        let names = quoted(lacking.into_iter().filter_map(|names| names.first()));
        let line: String = header.iter().collect::<Vec<_>>().join(",");
        let separator = match header.len() == 1 && line.contains([';', '\t', '|']) {
            true => "; fields must be separated by commas",
            false => "",
        };
        if self.hides_values {
            return Err(format!("the header lacks {names}{separator}"));
        }
        let line: String = line.escape_debug().take(QUOTED_HEADER).collect();
        Err(format!("the header lacks {names}: it is `{line}`{separator}"))
    }
}

fn not_csv(reason: String) -> PageError {
    PageError::NotCsv(io::Error::other(reason).into())
}
