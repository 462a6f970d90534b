//! Opens the files that people name, whatever stands at their paths.
//!
//! A file that is read whole has a size limit and must be a regular file: a device never ends, and
//! a named pipe waits for a writer. A file that is written must not be reached through a symbolic
//! link, which somebody else may have put there. The checks are made on the open file, since its
//! name may refer to another one by then.

use std::{
    fs::{File, FileType, OpenOptions},
    io::{self, Read},
    path::Path,
};

/// Why a file is not used. The text continues a sentence that begins with its path.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The operating system refused.
    #[error("cannot be read: {0}")]
    Io(#[from] io::Error),
    /// The path leads to something else than a regular file.
    #[error("is {0}: expected a regular file")]
    NotRegular(&'static str),
    /// The last part of the path is a symbolic link.
    #[error("is a symbolic link, which is not followed: put a regular file there, or none")]
    SymbolicLink,
    /// The file is too large.
    #[error("is larger than {} KiB, the most that is read", .0 >> 10)]
    TooLarge(u64),
    /// The file is not text.
    #[error("is not UTF-8 text")]
    NotText,
}

impl FileError {
    /// Whether there is no such file.
    pub(crate) fn is_missing(&self) -> bool {
        matches!(self, Self::Io(error) if error.kind() == io::ErrorKind::NotFound)
    }
}

/// Reads a text file of at most `limit` bytes.
///
/// # Errors
/// [`FileError`] if there is no regular file, or if it is larger or not UTF-8.
pub(crate) fn read_text(path: &Path, limit: u64) -> Result<String, FileError> {
    let mut options = OpenOptions::new();
    options.read(true);
    // without this, opening a named pipe would wait for its writer
    #[cfg(unix)]
    set_flags(&mut options, nix::fcntl::OFlag::O_NONBLOCK | nix::fcntl::OFlag::O_NOCTTY);
    let file = regular(options.open(path)?)?;
    let mut bytes = Vec::new();
    file.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(FileError::TooLarge(limit));
    }
    String::from_utf8(bytes).map_err(|_| FileError::NotText)
}

/// Opens a file that is no symbolic link; its folder may be reached through one.
///
/// # Errors
/// [`FileError`] if the path is a symbolic link or leads to no regular file.
pub(crate) fn open_unlinked(options: &mut OpenOptions, path: &Path) -> Result<File, FileError> {
    #[cfg(unix)]
    set_flags(options, nix::fcntl::OFlag::O_NOFOLLOW | nix::fcntl::OFlag::O_NONBLOCK);
    match options.open(path) {
        Ok(file) => regular(file),
        Err(_) if is_symbolic_link(path) => Err(FileError::SymbolicLink),
        Err(error) => Err(error.into()),
    }
}

/// Whether the last part of a path is a symbolic link. Only for messages: it may change at any
/// time.
pub(crate) fn is_symbolic_link(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|metadata| metadata.is_symlink())
}

#[cfg(unix)]
fn set_flags(options: &mut OpenOptions, flags: nix::fcntl::OFlag) {
    std::os::unix::fs::OpenOptionsExt::custom_flags(options, flags.bits());
}

/// The file, if it is a regular one.
fn regular(file: File) -> Result<File, FileError> {
    match file.metadata()?.file_type() {
        kind if kind.is_file() => Ok(file),
        kind => Err(FileError::NotRegular(kind_name(kind))),
    }
}

fn kind_name(kind: FileType) -> &'static str {
    #[cfg(unix)]
    {
        use std::os::unix::fs::FileTypeExt;
        if kind.is_fifo() {
            return "a named pipe";
        }
        if kind.is_char_device() || kind.is_block_device() {
            return "a device";
        }
    }
    if kind.is_dir() { "a folder" } else { "no file" }
}

/// Whether every user of this machine can read a file: it and all folders above it let them.
/// `false` if that is not known.
#[cfg(unix)]
pub(crate) fn is_readable_by_everybody(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    let allows = |path: &Path, bit: u32| {
        path.metadata().is_ok_and(|metadata| metadata.permissions().mode() & bit != 0)
    };
    let Ok(path) = path.canonicalize() else { return false };
    allows(&path, 0o004) && path.ancestors().skip(1).all(|folder| allows(folder, 0o001))
}

/// On other systems the location of a file protects it.
#[cfg(not(unix))]
pub(crate) fn is_readable_by_everybody(_: &Path) -> bool {
    false
}

#[cfg(unix)]
#[cfg(test)]
mod tests {
    use std::{
        fs::Permissions,
        os::unix::fs::{PermissionsExt, symlink},
    };

    use super::*;

    fn message(path: &Path) -> String {
        read_text(path, 1024).unwrap_err().to_string()
    }

    #[test]
    fn only_a_regular_file_of_bounded_size_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, [b'x'; 1024]).unwrap();
        assert_eq!(read_text(&path, 1024).unwrap().len(), 1024);
        std::fs::write(&path, [b'x'; 1025]).unwrap();
        assert_eq!(message(&path), "is larger than 1 KiB, the most that is read");
        std::fs::write(&path, b"\xff").unwrap();
        assert_eq!(message(&path), "is not UTF-8 text");
        assert_eq!(message(folder.path()), "is a folder: expected a regular file");
        assert_eq!(message(Path::new("/dev/zero")), "is a device: expected a regular file");
        let pipe = folder.path().join("pipe");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert_eq!(message(&pipe), "is a named pipe: expected a regular file");
    }

    #[test]
    fn a_symbolic_link_is_not_followed_to_the_file_that_it_names() {
        let folder = tempfile::tempdir().unwrap();
        let [target, link] = ["target", "link"].map(|name| folder.path().join(name));
        symlink(&target, &link).unwrap();
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false);
        let error = open_unlinked(&mut options, &link).unwrap_err();
        assert!(matches!(error, FileError::SymbolicLink), "{error}");
        assert!(!target.exists());
        open_unlinked(&mut options, &target).unwrap();
    }

    #[test]
    fn everybody_can_read_a_file_only_if_every_folder_above_lets_them() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, "").unwrap();
        let set = |path: &Path, mode| {
            std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
        };
        set(&path, 0o644);
        set(folder.path(), 0o700);
        assert!(!is_readable_by_everybody(&path));
        set(folder.path(), 0o755);
        assert!(is_readable_by_everybody(&path));
        set(&path, 0o640);
        assert!(!is_readable_by_everybody(&path));
    }
}
