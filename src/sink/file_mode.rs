//! Which users can use the files and folders that a command creates.

/// The permissions of new files of an output; its folders can be entered by whoever can read them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum FileMode {
    /// What the umask of the process allows, but nothing to others and no writing to the group:
    /// 0640 and 0750.
    #[default]
    Private,
    /// This mode, whatever the umask is.
    Given(u32),
}

/// What the owner needs: the program reads and replaces its own files.
const OWNER: u32 = 0o600;
/// Files are not programs.
const ALLOWED: u32 = 0o666;

impl FileMode {
    /// Reads an octal number such as `0640`. `None` if it is none, or lacks what the owner needs.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let mode = u32::from_str_radix(text, 8).ok()?;
        (mode & OWNER == OWNER && mode & !ALLOWED == 0).then_some(Self::Given(mode))
    }

    /// Makes the process create files and folders with these permissions, from now on. Where the
    /// system has no such permissions, it does nothing.
    pub(crate) fn apply(self) {
        #[cfg(unix)]
        {
            use nix::sys::stat::{Mode, umask};
            let bits = |bits: u32| Mode::from_bits_truncate(bits as nix::libc::mode_t);
            match self {
                Self::Private => {
                    static ONCE: std::sync::Once = std::sync::Once::new();
                    ONCE.call_once(|| {
                        // the umask can only be read by setting it
                        let of_user = umask(bits(0o077));
                        umask(of_user | bits(0o027));
                    });
                }
                Self::Given(mode) => {
                    let enter = (mode & 0o444) >> 2;
                    umask(bits(!(mode | enter) & 0o777));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_mode_is_octal_and_lets_the_owner_read_and_write() {
        assert_eq!(FileMode::read("0640"), Some(FileMode::Given(0o640)));
        assert_eq!(FileMode::read("664"), Some(FileMode::Given(0o664)));
        for text in ["", "0440", "0750", "rw-r-----", "-1", "07777777777777"] {
            assert_eq!(FileMode::read(text), None, "{text}");
        }
    }
}
