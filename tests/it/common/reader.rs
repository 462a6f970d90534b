//! Independent readers: Arrow C++, DuckDB and Polars, through Python.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

use serde_json::{Value, json};

use super::binary::ROW_GROUP_ROWS;

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/reader.py");
const CONSERVED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/conserved.py");
const REQUIREMENTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/requirements.txt");

/// The files of a dataset, and the rows they must have.
pub struct Case {
    /// The folder of the files, named like the dataset.
    pub folder: PathBuf,
    /// Every row, as NDJSON.
    pub truth: String,
    /// The columns that identify a row.
    pub id: Vec<String>,
    /// The column of its time.
    pub time: String,
    /// The times between which a snapshot was taken. `None` if the truth has the times of rows.
    pub taken: Option<[String; 2]>,
    /// The version of its columns.
    pub version: u32,
}

/// Checks that the files below `rows` have exactly these conversations, field by field.
pub fn expect_equal(rows: &Path, truth: &str) {
    let (id, time) = (vec!["conversationId".to_owned()], "conversationStart".to_owned());
    expect_all_equal(&[Case {
        folder: rows.to_owned(),
        truth: truth.to_owned(),
        id,
        time,
        taken: None,
        version: 2,
    }]);
}

/// Checks that the files of every case have exactly the rows of its truth, field by field. Without
/// a suitable Python it prints a notice, and fails in CI.
pub fn expect_all_equal(cases: &[Case]) {
    let Some(python) = python() else { return };
    let told = tempfile::tempdir().unwrap();
    let (mut requested, mut expected) = (Vec::new(), String::new());
    for (number, Case { folder, truth, id, time, taken, version }) in cases.iter().enumerate() {
        let file = told.path().join(number.to_string());
        fs::write(&file, truth).unwrap();
        requested.push(
            json!({ "folder": folder, "truth": file, "id": id, "time": time, "taken": taken, "version": version }),
        );
        let name = folder.file_name().unwrap().display();
        expected += &format!("{name}: {} rows equal\n", truth.lines().count());
    }
    let file = told.path().join("cases");
    fs::write(&file, Value::from(requested).to_string()).unwrap();
    let arguments = [env!("CARGO_PKG_VERSION"), ROW_GROUP_ROWS];
    let read = Command::new(python).arg(SCRIPT).arg(file).args(arguments).output().unwrap();
    let said = String::from_utf8_lossy(&read.stdout);
    assert_eq!(said, expected, "{}", String::from_utf8_lossy(&read.stderr));
}

/// Checks through pyarrow that no value of drifted rows is lost, which are identified by the column
/// `id`. Returns the patterns of the paths in `_extra`, and in how many rows each is. `None`
/// without a suitable Python.
pub fn patterns_of_conserved(rows: &Path, id: &str, drifted: &str, plain: &str) -> Option<Value> {
    let python = python()?;
    let told = tempfile::tempdir().unwrap();
    let files = [("drifted", drifted), ("plain", plain)].map(|(name, truth)| {
        let file = told.path().join(name);
        fs::write(&file, truth).unwrap();
        file
    });
    let mut command = Command::new(python);
    let read = command.arg(CONSERVED).arg(rows).arg(id).args(files).output().unwrap();
    assert!(read.status.success(), "{}", String::from_utf8_lossy(&read.stderr));
    Some(serde_json::from_slice(&read.stdout).unwrap())
}

/// An interpreter with the packages of `requirements.txt`: `CXBACKFILL_PYTHON`, or a virtual
/// environment that is created once.
pub fn python() -> Option<&'static Path> {
    static PYTHON: OnceLock<Option<PathBuf>> = OnceLock::new();
    let find = || match std::env::var_os("CXBACKFILL_PYTHON") {
        Some(python) => Some(python.into()),
        None => prepare().map_err(|error| missing(&error)).ok(),
    };
    PYTHON.get_or_init(find).as_deref()
}

/// Prints a notice, not by `eprintln!`, which the test harness captures.
#[allow(clippy::explicit_write)]
fn missing(error: &io::Error) {
    assert!(std::env::var_os("CI").is_none(), "no independent reader: {error}");
    let notice = "NOTICE: rows are NOT compared through an independent reader";
    writeln!(io::stderr(), "{notice}: {error}; install python3 and pip, or set CXBACKFILL_PYTHON")
        .unwrap();
}

/// Creates a virtual environment below the target directory once: its copy of the requirements is
/// written last. Other processes wait for the lock.
fn prepare() -> io::Result<PathBuf> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("python");
    let (python, installed) = (folder.join("bin/python"), folder.join("requirements.txt"));
    let lock = File::create(folder.with_extension("lock"))?;
    lock.lock()?;
    let wanted = fs::read(REQUIREMENTS)?;
    if fs::read(&installed).is_ok_and(|found| found == wanted) {
        return Ok(python);
    }
    // pip from outside: the venv of Debian has none
    succeed(Command::new("python3").args(["-m", "venv", "--clear", "--without-pip"]).arg(&folder))?;
    let pip = ["-m", "pip", "--quiet", "--disable-pip-version-check", "--python"];
    succeed(Command::new("python3").args(pip).arg(&python).args([
        "install",
        "--requirement",
        REQUIREMENTS,
    ]))?;
    fs::write(installed, wanted)?;
    Ok(python)
}

fn succeed(command: &mut Command) -> io::Result<()> {
    let output = command.output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    if output.status.success() {
        Ok(())
    } else {
        Err(io::Error::other(format!("{command:?}: {}", said.trim())))
    }
}
