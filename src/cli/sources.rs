//! What commands over several sources have in common: each is headed by its name, an error of one
//! does not stop the others, and there is one exit code.

use crate::error::Error;

/// Exit codes, the one that counts most first: what is fatal, what its author must set right in the
/// configuration, then in the credentials, what only needs another run, what has gaps.
const WORST_FIRST: [u8; 5] = [4, 2, 3, 130, 1];

/// The exit code of all sources together.
pub(super) fn worst(codes: &[u8]) -> u8 {
    WORST_FIRST.into_iter().find(|code| codes.contains(code)).unwrap_or(0)
}

/// The exit code of one source, whose error is told here.
pub(super) fn code(source: Option<&str>, ended: Result<u8, Error>) -> u8 {
    ended.unwrap_or_else(|error| {
        eprintln!("error: {}{error}", prefix(source));
        error.exit_code()
    })
}

/// Says on standard output whose lines follow, if the source has a name.
pub(super) fn head(source: Option<&str>) {
    if let Some(name) = source {
        sayln!("[{name}]");
    }
}

/// What a line on standard error begins with.
pub(super) fn prefix(source: Option<&str>) -> String {
    source.map_or(String::new(), |name| format!("{name}: "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_several_exit_codes_the_one_counts_that_asks_for_most() {
        assert_eq!(worst(&[0, 0]), 0);
        assert_eq!(worst(&[0, 1, 130]), 130);
        assert_eq!(worst(&[130, 3, 1]), 3);
        assert_eq!(worst(&[3, 2]), 2);
        assert_eq!(worst(&[1, 4, 2]), 4);
    }
}
