//! The identity of the job that an output belongs to.

use std::collections::BTreeMap;

use crate::ledger::{Ledger, LedgerError};

/// The key of the layout of the files, by the name that it has in the configuration.
pub(crate) const LAYOUT: &str = "output.layout";

/// The layout that an identity names while an upgrade changes the layout.
pub(crate) const CHANGING_LAYOUT: &str = "mixed";

/// The key of the version of a dataset's columns.
pub(crate) fn version_key(dataset: &str) -> String {
    format!("dataset.{dataset}.version")
}

/// The value in place of the fingerprint of a policy if there is no policy.
const NO_POLICY: &str = "none";

/// The key of the fingerprint of the policy that rows of a dataset were hidden by. An identity
/// without it has no policy for the dataset.
pub(crate) fn policy_key(dataset: &str) -> String {
    format!("privacy.{dataset}")
}

/// Whether a key is that of the policy of a dataset.
pub(crate) fn is_policy_key(key: &str) -> bool {
    key.starts_with("privacy.")
}

/// The fingerprint of the policy of a dataset in an identity.
pub(crate) fn policy_of(identity: &BTreeMap<String, String>, dataset: &str) -> String {
    identity.get(&policy_key(dataset)).map_or(NO_POLICY, String::as_str).to_owned()
}

/// The key that says that ids were forgotten. It belongs to the output, and not to the job.
const FORGOTTEN: &str = "forgotten";

/// Whether a key tells something of the job that every file has in its footer: not the versions of
/// datasets, not the layout, and not what became of the output.
pub(crate) fn is_job_key(key: &str) -> bool {
    !is_version_key(key) && key != LAYOUT && key != FORGOTTEN
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

    /// Records that ids were forgotten.
    pub(crate) fn record_forgotten(&self) -> Result<(), LedgerError> {
        let sql = "INSERT OR IGNORE INTO identity (key, value) VALUES (?1, 'yes')";
        self.execute(sql, [FORGOTTEN])?;
        Ok(())
    }

    /// Whether ids were forgotten: it was recorded, or rows of a committed shard were left out.
    pub(crate) fn has_forgotten(&self) -> Result<bool, LedgerError> {
        let sql = "SELECT EXISTS (SELECT 1 FROM identity WHERE key = ?1)
                   OR EXISTS (SELECT 1 FROM shard WHERE rows_forgotten > 0)";
        Ok(self.lock().query_row(sql, [FORGOTTEN], |row| row.get(0))?)
    }

    /// Checks that the output belongs to this job. Writes nothing.
    ///
    /// # Errors
    /// [`LedgerError::Identity`] with the first setting that differs, [`LedgerError::Layout`] if
    /// that is the layout, [`LedgerError::ChangingLayout`] if an upgrade to another layout was
    /// interrupted, [`LedgerError::OlderColumns`] if it is the version of a dataset, and the
    /// output's is older, or [`LedgerError::Policy`] if the rows of a dataset were hidden by
    /// another policy.
    pub fn check_identity(&self, identity: &BTreeMap<String, String>) -> Result<(), LedgerError> {
        let connection = self.lock();
        let mut query = connection.prepare("SELECT key, value FROM identity")?;
        let recorded = query.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let recorded = recorded.collect::<Result<_, _>>()?;
        compare_policies(&recorded, identity)?;
        compare_identity(&recorded, identity)
    }
}

/// Checks that the rows of each dataset that both identities have were hidden by the same policy.
/// An identity that lacks the policy of a dataset has none for it, so both must be whole.
fn compare_policies(
    recorded: &BTreeMap<String, String>,
    identity: &BTreeMap<String, String>,
) -> Result<(), LedgerError> {
    for dataset in identity.keys().filter_map(|key| versioned_dataset(key)) {
        let is_known = recorded.contains_key(&version_key(dataset));
        if is_known && policy_of(recorded, dataset) != policy_of(identity, dataset) {
            return Err(LedgerError::Policy { dataset: dataset.to_owned() });
        }
    }
    Ok(())
}

/// Checks that an output with the first identity belongs to the job with the second. Either may be
/// a part of an identity.
///
/// # Errors
/// As [`Ledger::check_identity`], without [`LedgerError::Policy`].
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
        return Err(match key == LAYOUT {
            true if old == CHANGING_LAYOUT => LedgerError::ChangingLayout,
            true => LedgerError::Layout { old, new },
            false => LedgerError::Identity { key, old, new },
        });
    }
    Ok(())
}
