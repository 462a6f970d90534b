//! Runs a test that measures its process in a process of its own.

use std::process::Command;

/// Set in the process that measures.
const MEASURES: &str = "CXBACKFILL_TEST_MEASURES";

/// Runs the calling test, named `module::test`, again in a process of its own, and expects that it
/// passes there. Returns whether this is that process: then the caller does the work.
pub fn is_own_process(test: &str) -> bool {
    if std::env::var_os(MEASURES).is_some() {
        return true;
    }
    let binary = std::env::current_exe().unwrap();
    let arguments = [test, "--exact", "--nocapture"];
    let output = Command::new(binary).args(arguments).env(MEASURES, "1").output().unwrap();
    let printed = String::from_utf8_lossy(&output.stdout);
    println!("{printed}");
    assert!(output.status.success(), "{printed}{}", String::from_utf8_lossy(&output.stderr));
    assert!(printed.contains("1 passed"), "no test is named {test}: {printed}");
    false
}
