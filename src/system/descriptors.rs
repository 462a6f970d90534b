//! The files and connections that the system lets this process have open.

/// Files that a run has open beside those of its fetchers: the ledger, locks, the runtime.
const RESERVED: usize = 32;

/// Files that a fetcher may have open beside its connections, however wide its shard is: the spools
/// of the shard, a committed file that is read, the file that is written, and its folder.
const PER_FETCHER: usize = 4;

/// What fits into a limit of open files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OpenFiles {
    /// Fetchers that work at once.
    pub fetchers: usize,
    /// Requests in flight at once, each on a connection of its own.
    pub in_flight: usize,
}

impl OpenFiles {
    /// As many fetchers and requests in flight as are wanted and fit into the limit of the process;
    /// at least one of each.
    pub(crate) fn within_limit(self) -> Self {
        self.within(limit())
    }

    fn within(self, limit: usize) -> Self {
        let free = limit.saturating_sub(RESERVED);
        let fetchers = self.fetchers.min(free / (PER_FETCHER + 1)).max(1);
        let connections = free.saturating_sub(fetchers * PER_FETCHER);
        Self { fetchers, in_flight: self.in_flight.min(connections).max(1) }
    }
}

/// The files that the process may have open.
#[cfg(unix)]
fn limit() -> usize {
    use nix::sys::resource::{Resource, getrlimit};
    let soft = getrlimit(Resource::RLIMIT_NOFILE).map_or(u64::MAX, |(soft, _)| soft);
    usize::try_from(soft).unwrap_or(usize::MAX)
}

#[cfg(not(unix))]
fn limit() -> usize {
    usize::MAX
}

/// Raises the limit as far as the system allows without privileges. If that fails, the old limit
/// stays.
pub fn raise_limit() {
    #[cfg(unix)]
    {
        use nix::sys::resource::{Resource, getrlimit, setrlimit};
        if let Ok((_, hard)) = getrlimit(Resource::RLIMIT_NOFILE) {
            let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fetchers_and_connections_fit_into_the_limit_of_open_files() {
        let within = |fetchers, in_flight, limit| {
            let fitting = OpenFiles { fetchers, in_flight }.within(limit);
            (fitting.fetchers, fitting.in_flight)
        };
        assert_eq!(within(4, 16, 1_024), (4, 16));
        assert_eq!(within(64, 256, 1_024), (64, 256));
        assert_eq!(within(64, 256, 256), (44, 48));
        assert_eq!(within(8, 800, 256), (8, 192));
        assert_eq!(within(64, 256, 20), (1, 1), "a run with one of each may still work");
        for limit in 40..2_000 {
            let (fetchers, in_flight) = within(1_000, 100_000, limit);
            assert!(RESERVED + fetchers * PER_FETCHER + in_flight <= limit, "{limit}");
        }
    }
}
