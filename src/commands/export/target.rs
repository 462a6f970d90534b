//! Where exported rows go: standard output, or a file that appears whole or not at all.

use std::{
    fs::File,
    io::{self, BufWriter},
    path::{Path, PathBuf},
};

use tempfile::{Builder, NamedTempFile};

use crate::commands::export::row_writer::Target;

/// Bytes that are written at once.
const BUFFER_BYTES: usize = 256 << 10;

/// Standard output.
pub(crate) fn standard_output() -> Target {
    Box::new(BufWriter::with_capacity(BUFFER_BYTES, io::stdout()))
}

/// A file that is written under a temporary name beside its own. It is deleted if it is dropped
/// before it is complete.
pub(crate) struct ExportFile {
    temporary: NamedTempFile,
    path: PathBuf,
}

impl ExportFile {
    /// Creates the temporary file. `output` is the folder of the backfill.
    ///
    /// # Errors
    /// If there is something else than a regular file at `path`, if it lies in the backfill's
    /// folder, where readers would take it for a part of the data, or if it cannot be created.
    pub(crate) fn create(path: &Path, output: &Path) -> io::Result<Self> {
        if path.metadata().is_ok_and(|metadata| !metadata.is_file()) {
            return Err(io::Error::other("it is not a regular file: name another one"));
        }
        let folder = match path.parent() {
            Some(folder) if folder != Path::new("") => folder,
            _ => Path::new("."),
        };
        if path.file_name().is_none() {
            return Err(io::Error::other("it has no name"));
        }
        if output.canonicalize().is_ok_and(|output| {
            folder.canonicalize().is_ok_and(|folder| folder.starts_with(output))
        }) {
            let message = "it lies in output.path, whose readers would read it as a part of the \
                           data: name a file in another folder";
            return Err(io::Error::other(message));
        }
        let mut builder = Builder::new();
        builder.prefix(".cxbackfill-export-");
        #[cfg(unix)]
        {
            use std::{fs::Permissions, os::unix::fs::PermissionsExt};
            // as of any new file: what the umask leaves
            builder.permissions(Permissions::from_mode(0o666));
        }
        Ok(Self { temporary: builder.tempfile_in(folder)?, path: path.to_owned() })
    }

    /// Where the rows are written.
    ///
    /// # Errors
    /// If the operating system refuses another handle.
    pub(crate) fn target(&self) -> io::Result<Target> {
        let file = self.temporary.as_file().try_clone()?;
        Ok(Box::new(BufWriter::with_capacity(BUFFER_BYTES, file)))
    }

    /// Gives the complete file its name, in place of a file that has it. It survives a loss of
    /// power.
    ///
    /// # Errors
    /// If it cannot be synced or renamed.
    pub(crate) fn complete(self) -> io::Result<()> {
        self.temporary.as_file().sync_all()?;
        let folder = self.temporary.path().parent().map(Path::to_owned);
        self.temporary.persist(&self.path).map_err(|error| error.error)?;
        match folder.filter(|_| cfg!(unix)) {
            Some(folder) => File::open(folder)?.sync_all(),
            None => Ok(()),
        }
    }
}
