//! The exit codes of the program: the one table. They are part of its interface.

/// The exit code of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum ExitCode {
    /// Everything that was requested is committed, or the command did what it is for.
    Complete = 0,
    /// The command ended regularly, but rows are missing or doubtful, or files differ from the
    /// ledger.
    Gaps = 1,
    /// The configuration or the command line is not valid.
    Usage = 2,
    /// The credentials or the permissions are not sufficient.
    Credentials = 3,
    /// Any other error that ended the command.
    Fatal = 4,
    /// The command was interrupted and can be resumed.
    Interrupted = 130,
}

impl ExitCode {
    /// The name of the outcome in the JSON summary and in the ledger's history of runs.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Gaps => "gaps",
            Self::Usage => "usage",
            Self::Credentials => "credentials",
            Self::Fatal => "fatal",
            Self::Interrupted => "interrupted",
        }
    }

    /// Every code but `Complete`, in order of precedence: the first that any source ended with is
    /// the exit code. Errors, which need a person, come before what another run continues.
    const BY_PRECEDENCE: [Self; 5] =
        [Self::Fatal, Self::Usage, Self::Credentials, Self::Interrupted, Self::Gaps];

    /// The one exit code of several sources.
    pub(crate) fn of_all(codes: &[Self]) -> Self {
        Self::BY_PRECEDENCE.into_iter().find(|code| codes.contains(code)).unwrap_or(Self::Complete)
    }
}

impl From<ExitCode> for std::process::ExitCode {
    fn from(code: ExitCode) -> Self {
        Self::from(code as u8)
    }
}

#[cfg(test)]
mod tests {
    use super::ExitCode::{self, Complete, Credentials, Fatal, Gaps, Interrupted, Usage};

    #[test]
    fn the_most_urgent_of_several_exit_codes_wins() {
        assert_eq!(ExitCode::of_all(&[Complete, Complete]), Complete);
        assert_eq!(ExitCode::of_all(&[Complete, Gaps, Interrupted]), Interrupted);
        assert_eq!(ExitCode::of_all(&[Interrupted, Credentials, Gaps]), Credentials);
        assert_eq!(ExitCode::of_all(&[Credentials, Usage]), Usage);
        assert_eq!(ExitCode::of_all(&[Gaps, Fatal, Usage]), Fatal);
    }
}
