//! This process: who runs it, where, and how much memory it uses.

use std::{env, fmt, fs};

/// A process, to tell people who is at work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Process {
    /// The name of its user. `None` if the environment does not say.
    pub user: Option<String>,
    /// The name of its machine. `None` if the operating system does not say.
    pub host: Option<String>,
    /// Its number on that machine.
    pub pid: u32,
}

impl Process {
    /// This process.
    pub(crate) fn current() -> Self {
        let variable = |name: &&str| env::var(name).ok();
        let file = |path: &&str| fs::read_to_string(path).ok();
        let named = |text: String| Some(text.trim().to_owned()).filter(|text| !text.is_empty());
        let user = ["USER", "LOGNAME", "USERNAME"].iter().filter_map(variable).find_map(named);
        let host = ["/proc/sys/kernel/hostname", "/etc/hostname"].iter().filter_map(file);
        let host = host.chain(["HOSTNAME", "COMPUTERNAME"].iter().filter_map(variable));
        Self { user, host: host.into_iter().find_map(named), pid: std::process::id() }
    }
}

impl fmt::Display for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { user, host, pid } = self;
        match (user, host) {
            (Some(user), Some(host)) => write!(f, "{user}@{host}, process {pid}"),
            (Some(name), None) | (None, Some(name)) => write!(f, "{name}, process {pid}"),
            (None, None) => write!(f, "process {pid}"),
        }
    }
}

/// The memory of this process in bytes; 0 where the operating system does not report it.
#[cfg(target_os = "linux")]
pub(crate) fn resident_bytes() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kibibytes = line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse().ok());
    kibibytes.map_or(0, |kibibytes: u64| kibibytes * 1_024)
}

/// The memory of this process in bytes; 0 where the operating system does not report it.
#[cfg(not(target_os = "linux"))]
pub(crate) fn resident_bytes() -> u64 {
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_told_by_what_is_known_of_it() {
        let process = |user: Option<&str>, host: Option<&str>| Process {
            user: user.map(str::to_owned),
            host: host.map(str::to_owned),
            pid: 7,
        };
        assert_eq!(process(Some("ana"), Some("box")).to_string(), "ana@box, process 7");
        assert_eq!(process(None, Some("box")).to_string(), "box, process 7");
        assert_eq!(process(None, None).to_string(), "process 7");
        assert_eq!(Process::current().pid, std::process::id());
    }
}
