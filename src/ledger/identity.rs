//! The identity of the job that an output belongs to.

use std::collections::BTreeMap;

use rusqlite::OptionalExtension;

use crate::ledger::{Ledger, LedgerError};

/// The key of the version of a dataset's columns.
pub(crate) fn version_key(dataset: &str) -> String {
    format!("dataset.{dataset}.version")
}

/// Whether a key is that of the version of a dataset's columns.
pub(crate) fn is_version_key(key: &str) -> bool {
    versioned_dataset(key).is_some()
}

/// The dataset whose version has this key.
pub(crate) fn versioned_dataset(key: &str) -> Option<&str> {
    key.strip_prefix("dataset.")?.strip_suffix(".version")
}

impl Ledger {
    /// Checks that the output belongs to this job, and records the settings that are new.
    ///
    /// # Errors
    /// [`LedgerError::Identity`] with the first setting that differs.
    pub fn record_identity(&self, identity: &BTreeMap<String, String>) -> Result<(), LedgerError> {
        self.check_identity(identity)?;
        self.transaction(|transaction| {
            for (key, value) in identity {
                let sql = "INSERT OR IGNORE INTO identity (key, value) VALUES (?1, ?2)";
                transaction.execute(sql, [key, value])?;
            }
            Ok(())
        })
    }

    /// Checks that the output belongs to this job. Writes nothing.
    ///
    /// # Errors
    /// [`LedgerError::Identity`] with the first setting that differs, or
    /// [`LedgerError::OlderColumns`] if that is the version of a dataset, and the output's is older.
    pub fn check_identity(&self, identity: &BTreeMap<String, String>) -> Result<(), LedgerError> {
        let connection = self.lock();
        for (key, new) in identity {
            let sql = "SELECT value FROM identity WHERE key = ?1";
            let recorded: Option<String> =
                connection.query_row(sql, [key], |row| row.get(0)).optional()?;
            if let Some(old) = recorded
                && old != *new
            {
                if let Some(dataset) = versioned_dataset(key)
                    && let (Ok(found), Ok(known)) = (old.parse::<u32>(), new.parse::<u32>())
                    && found < known
                {
                    let dataset = dataset.to_owned();
                    return Err(LedgerError::OlderColumns { dataset, found, known });
                }
                return Err(LedgerError::Identity { key: key.clone(), old, new: new.clone() });
            }
        }
        Ok(())
    }
}
