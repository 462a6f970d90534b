//! The identity of the job that an output belongs to.

use std::collections::BTreeMap;

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
        let mut query = connection.prepare("SELECT key, value FROM identity")?;
        let recorded = query.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        compare_identity(&recorded.collect::<Result<_, _>>()?, identity)
    }
}

/// Checks that an output with the first identity belongs to the job with the second.
///
/// # Errors
/// As [`Ledger::check_identity`].
pub(crate) fn compare_identity(
    recorded: &BTreeMap<String, String>,
    identity: &BTreeMap<String, String>,
) -> Result<(), LedgerError> {
    for (key, new) in identity {
        let Some(old) = recorded.get(key).filter(|old| *old != new) else { continue };
        if let Some(dataset) = versioned_dataset(key)
            && let (Ok(found), Ok(known)) = (old.parse::<u32>(), new.parse::<u32>())
            && found < known
        {
            return Err(LedgerError::OlderColumns { dataset: dataset.to_owned(), found, known });
        }
        let (key, old, new) = (key.clone(), old.clone(), new.clone());
        return Err(LedgerError::Identity { key, old, new });
    }
    Ok(())
}
