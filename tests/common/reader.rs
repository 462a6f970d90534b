//! A reader that is not ours: Arrow's C++, DuckDB and Polars, through Python.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

use super::binary::ROW_GROUP_ROWS;

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/reader.py");
const REQUIREMENTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/requirements.txt");

/// Demands that the files below `rows` hold `truth` and nothing else, field by field. Without a
/// Python that can read them it says so on standard error, and a CI run fails.
pub fn expect_equal(rows: &Path, truth: &str) {
    let Some(python) = python() else { return };
    let told = tempfile::NamedTempFile::new().unwrap();
    fs::write(told.path(), truth).unwrap();
    let arguments = [SCRIPT.as_ref(), rows.as_os_str(), told.path().as_os_str()];
    let read = Command::new(python).args(arguments).args([env!("CARGO_PKG_VERSION"), ROW_GROUP_ROWS]).output().unwrap();
    let said = String::from_utf8_lossy(&read.stdout);
    assert_eq!(said, format!("{} rows equal\n", truth.lines().count()), "{}", String::from_utf8_lossy(&read.stderr));
}

/// An interpreter with the packages of `requirements.txt`: `CXBACKFILL_PYTHON`, or one of our own.
fn python() -> Option<&'static Path> {
    static PYTHON: OnceLock<Option<PathBuf>> = OnceLock::new();
    let find = || match std::env::var_os("CXBACKFILL_PYTHON") {
        Some(python) => Some(python.into()),
        None => prepare().map_err(|error| missing(&error)).ok(),
    };
    PYTHON.get_or_init(find).as_deref()
}

/// Not `eprintln!`, which a passing test swallows.
fn missing(error: &io::Error) {
    assert!(std::env::var_os("CI").is_none(), "no independent reader: {error}");
    let notice = "NOTICE: rows are NOT compared through an independent reader";
    writeln!(io::stderr(), "{notice}: {error}; install python3 and pip, or set CXBACKFILL_PYTHON").unwrap();
}

/// Makes a virtual environment below the target directory, once: its copy of the requirements is
/// written last. Other processes wait for the lock meanwhile.
fn prepare() -> io::Result<PathBuf> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("python");
    let (python, installed) = (folder.join("bin/python"), folder.join("requirements.txt"));
    let lock = File::create(folder.with_extension("lock"))?;
    lock.lock()?;
    let wanted = fs::read(REQUIREMENTS)?;
    if fs::read(&installed).is_ok_and(|found| found == wanted) {
        return Ok(python);
    }
    // pip from outside: Debian's venv has none of its own
    succeed(Command::new("python3").args(["-m", "venv", "--clear", "--without-pip"]).arg(&folder))?;
    let pip = ["-m", "pip", "--quiet", "--disable-pip-version-check", "--python"];
    succeed(Command::new("python3").args(pip).arg(&python).args(["install", "--requirement", REQUIREMENTS]))?;
    fs::write(installed, wanted)?;
    Ok(python)
}

fn succeed(command: &mut Command) -> io::Result<()> {
    let output = command.output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    if output.status.success() { Ok(()) } else { Err(io::Error::other(format!("{command:?}: {}", said.trim()))) }
}
