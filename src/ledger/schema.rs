//! The tables of the ledger and their migrations.
//!
//! `PRAGMA user_version` is the version of the schema. Programs before the first migration left it
//! at 0, so a database of version 0 that has tables is of version 1. Each migration runs once, in
//! the transaction that raises the version. Times named `_ms` are milliseconds since 1970, UTC;
//! other times are RFC 3339.

use rusqlite::{Connection, TransactionBehavior};

use crate::ledger::LedgerError;

/// The version that this program reads and writes.
pub(super) const VERSION: u32 = MIGRATIONS.len() as u32;

/// The migration at index `n` leads from version `n` to version `n + 1`.
const MIGRATIONS: [&str; 5] = [VERSION_1, VERSION_2, VERSION_3, VERSION_4, VERSION_5];

/// `IF NOT EXISTS`, because a ledger of version 1 does not say that it is one, and a run that was
/// killed at its start may have created only some of the tables.
const VERSION_1: &str = "
    CREATE TABLE IF NOT EXISTS identity (
        key TEXT PRIMARY KEY, value TEXT NOT NULL
    ) STRICT;
    CREATE TABLE IF NOT EXISTS shard (
        dataset TEXT NOT NULL, from_ms INTEGER NOT NULL, to_ms INTEGER NOT NULL,
        rows_received INTEGER NOT NULL, rows_written INTEGER NOT NULL,
        rows_not_owned INTEGER NOT NULL, rows_duplicate INTEGER NOT NULL,
        rows_quarantined INTEGER NOT NULL, stale INTEGER NOT NULL DEFAULT 0, at TEXT NOT NULL,
        PRIMARY KEY (dataset, from_ms)
    ) STRICT;
    CREATE TABLE IF NOT EXISTS file (
        path TEXT PRIMARY KEY, dataset TEXT NOT NULL, from_ms INTEGER NOT NULL,
        rows INTEGER NOT NULL, bytes INTEGER NOT NULL, sha256 TEXT NOT NULL,
        FOREIGN KEY (dataset, from_ms) REFERENCES shard
    ) STRICT;
    CREATE TABLE IF NOT EXISTS split (
        dataset TEXT NOT NULL, from_ms INTEGER NOT NULL, to_ms INTEGER NOT NULL,
        reason TEXT NOT NULL, at TEXT NOT NULL, PRIMARY KEY (dataset, from_ms, to_ms)
    ) STRICT;
    CREATE TABLE IF NOT EXISTS short (
        dataset TEXT NOT NULL, from_ms INTEGER NOT NULL, to_ms INTEGER NOT NULL,
        reason TEXT NOT NULL, at TEXT NOT NULL, PRIMARY KEY (dataset, from_ms)
    ) STRICT;
    CREATE TABLE IF NOT EXISTS failure (
        dataset TEXT NOT NULL, from_ms INTEGER NOT NULL, to_ms INTEGER NOT NULL,
        reason TEXT NOT NULL, correlation TEXT NOT NULL, at TEXT NOT NULL,
        PRIMARY KEY (dataset, from_ms)
    ) STRICT;
    CREATE TABLE IF NOT EXISTS probe (
        dataset TEXT NOT NULL, from_ms INTEGER NOT NULL, to_ms INTEGER NOT NULL,
        rows INTEGER NOT NULL, at TEXT NOT NULL, PRIMARY KEY (dataset, from_ms)
    ) STRICT;
    CREATE TABLE IF NOT EXISTS job (
        path TEXT PRIMARY KEY, dataset TEXT NOT NULL, at TEXT NOT NULL
    ) STRICT;
";

/// - `intent`: files that a commit is about to write.
/// - `garbage`: files that a commit replaced and that are still to be deleted.
/// - `dataset_schema`: the columns that the files of a dataset have.
/// - `gap`: intervals that are committed but doubtful; `accepted`: gaps that a person accepted.
/// - `run`: the history of runs.
/// - `follow`: shards with open rows, and when to fetch them again.
/// - `start_step`: what the next run has to do once before it starts.
const VERSION_2: &str = "
    ALTER TABLE shard ADD COLUMN commit_id TEXT NOT NULL DEFAULT '';
    ALTER TABLE shard ADD COLUMN open_rows INTEGER NOT NULL DEFAULT 0;
    CREATE TABLE intent (
        path TEXT PRIMARY KEY, commit_id TEXT NOT NULL, at TEXT NOT NULL
    ) STRICT;
    CREATE TABLE garbage (path TEXT PRIMARY KEY, at TEXT NOT NULL) STRICT;
    CREATE TABLE dataset_schema (
        dataset TEXT PRIMARY KEY, version INTEGER NOT NULL, fingerprint TEXT NOT NULL,
        columns TEXT NOT NULL
    ) STRICT;
    CREATE TABLE gap (
        dataset TEXT NOT NULL, from_ms INTEGER NOT NULL, to_ms INTEGER NOT NULL,
        kind TEXT NOT NULL, reason TEXT NOT NULL, at TEXT NOT NULL,
        PRIMARY KEY (dataset, from_ms, to_ms, kind)
    ) STRICT;
    CREATE TABLE accepted (
        dataset TEXT NOT NULL, from_ms INTEGER NOT NULL, to_ms INTEGER NOT NULL,
        reason TEXT NOT NULL, at TEXT NOT NULL, PRIMARY KEY (dataset, from_ms, to_ms)
    ) STRICT;
    CREATE TABLE run (
        id INTEGER PRIMARY KEY, started TEXT NOT NULL, ended TEXT, outcome TEXT,
        from_ms INTEGER, to_ms INTEGER, summary TEXT
    ) STRICT;
    CREATE TABLE follow (
        dataset TEXT NOT NULL, from_ms INTEGER NOT NULL, to_ms INTEGER NOT NULL,
        asked INTEGER NOT NULL, next_ms INTEGER NOT NULL, PRIMARY KEY (dataset, from_ms)
    ) STRICT;
    CREATE TABLE start_step (name TEXT PRIMARY KEY) STRICT;
";

/// - `job_wait`: how long to wait before the first poll of a dataset's jobs.
/// - `item_count`: how many items hold the rows of any interval of a dataset, such as users.
/// - `new_field`: values that fit no column, by their paths, and whether a summary has reported
///   them.
///
/// Earlier programs read every time without a zone as UTC.
const VERSION_3: &str = "
    CREATE TABLE job_wait (dataset TEXT PRIMARY KEY, wait_ms INTEGER NOT NULL) STRICT;
    CREATE TABLE item_count (dataset TEXT PRIMARY KEY, items INTEGER NOT NULL) STRICT;
    CREATE TABLE new_field (
        dataset TEXT NOT NULL, path TEXT NOT NULL, kind TEXT NOT NULL, value_type TEXT NOT NULL,
        rows INTEGER NOT NULL, first_seen TEXT NOT NULL, told INTEGER NOT NULL DEFAULT 0,
        PRIMARY KEY (dataset, path, kind)
    ) STRICT;
    INSERT OR IGNORE INTO identity (key, value)
        SELECT 'timezone', 'UTC' WHERE EXISTS (SELECT 1 FROM identity);
";

/// - Indexes that keep the cost of a commit the same, whatever number of commits are recorded: the
///   files of a shard, and the gaps that are wider than a day.
/// - `shard`: what each one cost; null if an earlier program committed it.
/// - `run`: who runs it, and while it goes on what its metrics say, as JSON.
/// - `run_sample`: the course of a run, each sample as JSON.
/// - `shard_event`: what happened to shards, the newest so many events.
/// - `hour_sum`: the rows of each shard by the hour of their time and their media type.
/// - `job_wait`: how long to wait before the first poll of a dataset's jobs of a width, and how
///   many of them in a row were done at their first poll. What is known without a width is dropped.
const VERSION_4: &str = "
    CREATE INDEX file_of_shard ON file (dataset, from_ms);
    CREATE INDEX wide_gap ON gap (dataset, from_ms, to_ms) WHERE to_ms - from_ms > 86400000;
    ALTER TABLE shard ADD COLUMN requests INTEGER;
    ALTER TABLE shard ADD COLUMN retries INTEGER;
    ALTER TABLE shard ADD COLUMN duration_ms INTEGER;
    ALTER TABLE run ADD COLUMN user TEXT;
    ALTER TABLE run ADD COLUMN host TEXT;
    ALTER TABLE run ADD COLUMN pid INTEGER;
    ALTER TABLE run ADD COLUMN state TEXT;
    CREATE TABLE run_sample (
        run INTEGER NOT NULL, at_ms INTEGER NOT NULL, sample TEXT NOT NULL,
        PRIMARY KEY (run, at_ms)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE shard_event (
        id INTEGER PRIMARY KEY, run INTEGER, at TEXT NOT NULL, dataset TEXT NOT NULL,
        from_ms INTEGER NOT NULL, to_ms INTEGER NOT NULL, kind TEXT NOT NULL,
        reason TEXT NOT NULL, correlation TEXT NOT NULL, rows INTEGER, requests INTEGER,
        retries INTEGER, duration_ms INTEGER
    ) STRICT;
    CREATE INDEX shard_event_interval ON shard_event (dataset, from_ms);
    CREATE TABLE hour_sum (
        dataset TEXT NOT NULL, from_ms INTEGER NOT NULL, hour_ms INTEGER NOT NULL,
        media TEXT NOT NULL, rows INTEGER NOT NULL, rows_handled INTEGER NOT NULL,
        handle_ms INTEGER NOT NULL, PRIMARY KEY (dataset, from_ms, hour_ms, media),
        FOREIGN KEY (dataset, from_ms) REFERENCES shard ON DELETE CASCADE
    ) STRICT, WITHOUT ROWID;
    DROP TABLE job_wait;
    CREATE TABLE job_wait (
        dataset TEXT NOT NULL, days INTEGER NOT NULL, wait_ms INTEGER NOT NULL,
        prompt INTEGER NOT NULL, PRIMARY KEY (dataset, days)
    ) STRICT;
";

/// - `shard`: how many rows were left out because their ids were forgotten.
/// - `prepared`: replacements of committed shards that are decided and not recorded yet, as JSON.
///
/// Earlier programs wrote files of nested rows only.
const VERSION_5: &str = "
    ALTER TABLE shard ADD COLUMN rows_forgotten INTEGER NOT NULL DEFAULT 0;
    CREATE TABLE prepared (commit_id TEXT PRIMARY KEY, replacement TEXT NOT NULL) STRICT;
    INSERT OR IGNORE INTO identity (key, value)
        SELECT 'output.layout', 'nested' WHERE EXISTS (SELECT 1 FROM identity);
";

/// The step of `start_step` that moves files without a record to `_orphaned/`.
///
/// A ledger of version 1 holds no intents, so after its migration nobody can tell which of these
/// files a killed run left behind.
pub(super) const MOVE_UNRECORDED_FILES: &str = "move-unrecorded-files";

/// Brings the database to [`VERSION`].
pub(super) fn migrate(connection: &mut Connection) -> Result<(), LedgerError> {
    if version(connection)? == VERSION {
        return Ok(());
    }
    // the version is read again under the write lock: another process may migrate at this moment
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let found = version(&transaction)?;
    let had_records = transaction.table_exists(None, "shard")?;
    for migration in MIGRATIONS.get(found as usize..).unwrap_or_default() {
        transaction.execute_batch(migration)?;
    }
    if found < 2 && had_records {
        let sql = "INSERT INTO start_step (name) VALUES (?1)";
        transaction.execute(sql, [MOVE_UNRECORDED_FILES])?;
    }
    transaction.pragma_update(None, "user_version", VERSION)?;
    Ok(transaction.commit()?)
}

/// The version of the database.
///
/// # Errors
/// [`LedgerError::Newer`] if it is newer than [`VERSION`].
fn version(connection: &Connection) -> Result<u32, LedgerError> {
    let found = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if found > VERSION { Err(LedgerError::Newer { found, known: VERSION }) } else { Ok(found) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::Ledger;

    /// The statements that create the tables and their columns, in the order of their names.
    fn tables(connection: &Connection) -> Vec<String> {
        let sql = "SELECT t.name || '.' || c.name || ' ' || c.type || c.\"notnull\" || c.pk
                   FROM sqlite_schema t, pragma_table_info(t.name) c
                   WHERE t.type = 'table' ORDER BY 1";
        let mut query = connection.prepare(sql).unwrap();
        query.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    }

    #[test]
    fn a_ledger_of_version_1_is_migrated_to_the_tables_of_a_new_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger");
        let old = Connection::open(&path).unwrap();
        old.execute_batch(VERSION_1).unwrap();
        let row = "INSERT INTO shard VALUES ('d', 1, 2, 3, 3, 0, 0, 0, 0, '2024-01-01T00:00:00Z')";
        old.execute(row, []).unwrap();
        drop(old);
        let migrated = Ledger::open(&path).unwrap();
        let new = Ledger::in_memory().unwrap();
        assert_eq!(tables(&migrated.lock()), tables(&new.lock()));
        assert_eq!(migrated.committed("d").unwrap().len(), 1);
        assert_eq!(version(&migrated.lock()).unwrap(), VERSION);
        let steps = |ledger: &Ledger| -> u32 {
            let sql = "SELECT COUNT(*) FROM start_step";
            ledger.lock().query_row(sql, [], |row| row.get(0)).unwrap()
        };
        assert_eq!((steps(&migrated), steps(&new)), (1, 0));
        drop(migrated);
        assert_eq!(steps(&Ledger::open(&path).unwrap()), 1, "a migration runs once");
    }

    #[test]
    fn a_ledger_of_which_a_killed_run_created_some_tables_is_migrated() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger");
        let first = VERSION_1.split_inclusive(';').next().unwrap();
        Connection::open(&path).unwrap().execute_batch(first).unwrap();
        let ledger = Ledger::open(&path).unwrap();
        assert_eq!(tables(&ledger.lock()), tables(&Ledger::in_memory().unwrap().lock()));
    }

    #[test]
    fn a_ledger_of_a_newer_version_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger");
        drop(Ledger::open(&path).unwrap());
        let newer = Connection::open(&path).unwrap();
        newer.pragma_update(None, "user_version", VERSION + 1).unwrap();
        let error = Ledger::open(&path).map(|_| ()).unwrap_err().to_string();
        let expected = format!("the ledger has version {}", VERSION + 1);
        assert!(error.starts_with(&expected) && error.contains("update cxbackfill"), "{error}");
    }
}
