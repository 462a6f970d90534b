//! Quarantine files: rows that cannot be decoded, as lines of JSON with the reason.

use std::{
    borrow::Cow,
    io::{self, BufWriter, Write},
};

use base64::{Engine, prelude::BASE64_STANDARD};
use serde::Serialize;

use crate::{
    decode::{UndecodableRow, UndecodableRows},
    server_text,
};

/// Bytes of quarantined rows that are written at once.
const BUFFER: usize = 64 * 1024;

/// A row as it came, except that secrets in it are hidden, in base64 and under another key if it is not
/// UTF-8.
#[derive(Serialize)]
struct Line<'a> {
    reason: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    row: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    row_base64: Option<String>,
}

/// Appends a line for each row.
///
/// # Errors
/// If the file cannot be written.
pub(super) fn append(file: impl Write, rows: &UndecodableRows) -> io::Result<()> {
    let mut file = BufWriter::with_capacity(BUFFER, file);
    for UndecodableRow { reason, raw } in rows.iter() {
        let text = String::from_utf8_lossy(raw);
        let row = match server_text::holds_secret(&text) {
            true => Some(Cow::Owned(server_text::redact(&text))),
            false => str::from_utf8(raw).ok().map(Cow::Borrowed),
        };
        let row_base64 = row.is_none().then(|| BASE64_STANDARD.encode(raw));
        serde_json::to_writer(&mut file, &Line { reason, row, row_base64 })?;
        file.write_all(b"\n")?;
    }
    file.flush()
}
