//! How Parquet files are written.

use parquet::{
    basic::Compression,
    file::{
        metadata::KeyValue,
        properties::{DEFAULT_CREATED_BY, WriterProperties, WriterPropertiesBuilder},
    },
};
use serde::Deserialize;

use crate::sink::{Layout, file_schema::FileSchemas};

/// The most encoded bytes of a row group.
pub(crate) const ROW_GROUP_BYTES: usize = 64 << 20;

/// The writer of a file, in the form that readers such as parquet-java parse:
/// `application version number (build id)`. The build names the encoder.
fn created_by() -> String {
    let encoder = DEFAULT_CREATED_BY.replace(" version ", "-");
    format!("cxbackfill version {} (build {encoder})", env!("CARGO_PKG_VERSION"))
}

/// What the encoder spends time on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Profile {
    /// Encodings that every reader knows, and compression where it saves much.
    Fast,
    /// Delta encodings, and compression of almost every column.
    Small,
}

/// The Parquet settings of `[output]`.
#[derive(Debug, Clone)]
pub struct ParquetSettings {
    /// The codec of the columns that have enough bytes to be compressed.
    pub compression: Compression,
    /// What the encoder spends time on.
    pub profile: Profile,
    /// Which files hold the rows of a day.
    pub layout: Layout,
    /// Rows of a row group. Readers skip and hold whole row groups.
    pub row_group_rows: usize,
    /// The identity of the job as JSON, for the footers.
    pub job: String,
    /// The schemas of the files that were written so far.
    pub schemas: FileSchemas,
}

impl ParquetSettings {
    /// The settings of tests that do not care about them.
    #[cfg(test)]
    pub(crate) fn for_tests() -> Self {
        Self {
            compression: Compression::UNCOMPRESSED,
            profile: Profile::Fast,
            layout: Layout::Nested,
            row_group_rows: 1_000,
            job: String::new(),
            schemas: FileSchemas::default(),
        }
    }

    /// The properties of a file with this footer metadata.
    pub(crate) fn properties(&self, metadata: Vec<KeyValue>) -> WriterPropertiesBuilder {
        WriterProperties::builder()
            .set_max_row_group_row_count(Some(self.row_group_rows))
            .set_max_row_group_bytes(Some(ROW_GROUP_BYTES))
            // a column of a row group has one page or a few, so an index of pages helps no filter
            .set_offset_index_disabled(true)
            .set_created_by(created_by())
            .set_key_value_metadata(Some(metadata))
    }
}
