//! Outputs of earlier versions of the program, kept in `tests/fixtures/`.

use std::{fs, path::Path};

use super::binary::{SIMULATED, program, set};

/// Written by the last program with a ledger of version 1: two days of `audits`, in milliseconds.
pub const LEDGER_1: &str = "tests/fixtures/output-v1";
/// Written by the last program with times in milliseconds: two days of `conversations` and
/// `audits`.
pub const MILLISECONDS: &str = "tests/fixtures/output-v2";

/// Copies a folder with everything in it.
pub fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        match entry.path().is_dir() {
            true => copy(&entry.path(), &target),
            false => drop(fs::copy(entry.path(), target).unwrap()),
        }
    }
}

/// Runs a command on the output `out` of a folder, with the settings of the job that wrote the
/// fixture. Returns its exit code and output.
pub fn execute(folder: &Path, command: &[&str], settings: &[&str]) -> (i32, String) {
    let mut program = program(folder, command);
    set(&mut program, &SIMULATED);
    let output = set(&mut program, settings).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.code().unwrap(), String::from_utf8(text).unwrap())
}
