//! `[output]`: where files go, and how they are written.

use std::path::PathBuf;

use parquet::basic::Compression;
use serde::Deserialize;

use crate::{
    config::{
        layers::{ConfigError, Layers},
        values::{DurationText, in_range},
    },
    fetch::NewFieldPolicy,
    ledger::LEDGER,
    sink::{FileMode, FileSchemas, Layout, ParquetSettings, Profile},
};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OutputSection {
    path: PathBuf,
    mode: Option<String>,
    compression: String,
    profile: Profile,
    layout: Layout,
    row_group_rows: usize,
    pub commit_every: DurationText,
    pub on_new_field: NewFieldPolicy,
}

impl OutputSection {
    /// The folder of the output. Each source of a list has a folder of its own inside `path`.
    ///
    /// # Errors
    /// If `path` is not a local path, or if the output is where earlier versions wrote it.
    pub(super) fn folder(&self, layers: &Layers) -> Result<PathBuf, ConfigError> {
        let of_source = |path: PathBuf| match layers.listed() {
            Some(name) => path.join(name),
            None => path,
        };
        let folder = of_source(layers.resolve("output.path", &self.path)?);
        // earlier versions took every path relative to the working directory, and `~` literally
        let former = of_source(self.path.clone());
        if !folder.join(LEDGER).exists() && former.join(LEDGER).exists() {
            let message = format!(
                "`{}` means {}, relative to the file that contains it, but the folder {} in the \
                 working directory has the ledger of an earlier run: move that folder, or give its \
                 full path",
                self.path.display(),
                folder.display(),
                former.display(),
            );
            return Err(layers.error("output.path", message));
        }
        Ok(folder)
    }

    /// The permissions of new files.
    ///
    /// # Errors
    /// If they are not a valid octal number, or do not let the owner read and write.
    pub(super) fn file_mode(&self, layers: &Layers) -> Result<FileMode, ConfigError> {
        let Some(text) = &self.mode else { return Ok(FileMode::default()) };
        FileMode::read(text).ok_or_else(|| {
            let message = format!(
                "invalid mode `{text}`: expected the permissions of files in octal, which let the \
                 owner read and write, such as \"0640\""
            );
            layers.error("output.mode", message)
        })
    }

    /// Which files hold the rows of a day.
    pub(super) fn layout(&self) -> Layout {
        self.layout
    }

    pub(super) fn format(&self, layers: &Layers) -> Result<ParquetSettings, ConfigError> {
        let supported = |compression: &Compression| {
            matches!(
                compression,
                Compression::ZSTD(_) | Compression::SNAPPY | Compression::UNCOMPRESSED
            )
        };
        let Some(compression) = self.compression.parse().ok().filter(supported) else {
            let message = format!(
                "unknown compression `{}`: expected zstd(1) to zstd(22), snappy or uncompressed",
                self.compression
            );
            return Err(layers.error("output.compression", message));
        };
        in_range(self.row_group_rows, 1..=10_000_000, "output.row_group_rows", layers)?;
        Ok(ParquetSettings {
            compression,
            profile: self.profile,
            layout: self.layout,
            row_group_rows: self.row_group_rows,
            job: String::new(),
            schemas: FileSchemas::default(),
        })
    }
}
