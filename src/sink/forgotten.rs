//! Keyed hashes of the ids that were forgotten, so that no run writes their rows again.
//!
//! They are kept in the output, in `_forgotten.json`, because they must outlive a lost ledger, and
//! are written before any row is removed. The ledger says that the file exists, and the ledger and
//! the footers count the rows that were left out because of it: so it is noticed if the file is
//! missing.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    fmt,
    io::{Read, Write},
    sync::Arc,
};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{
    catalog::Dataset,
    ledger::Ledger,
    sink::{OutputStore, SinkError, read, sink_error::ForgottenError},
    system::blocking::offload,
};

/// The path of the file below the output.
const FORGOTTEN: &str = "_forgotten.json";

/// The ids that were forgotten of each dataset.
#[derive(Debug, Clone, Default)]
pub(crate) struct ForgottenRows {
    /// `None` until an id is forgotten.
    key: Option<HashKey>,
    datasets: BTreeMap<String, Arc<HashSet<u128>>>,
}

/// The ids that were forgotten of one dataset.
#[derive(Debug, Clone, Default)]
pub(crate) struct ForgottenIds {
    /// Hashes an id of the dataset. `None` if no id was forgotten.
    hasher: Option<IdHasher>,
    hashes: Arc<HashSet<u128>>,
    /// The keys in responses under which a row has its id.
    pub(super) keys: Vec<String>,
}

/// The random key of the hashes. Without it nobody can tell whether the hash of an id that he
/// guesses is among them.
#[derive(Clone, Copy, PartialEq, Eq)]
struct HashKey([u8; 32]);

/// Hashes the ids of one dataset.
#[derive(Debug, Clone)]
pub(crate) struct IdHasher(Sha256);

/// The content of the file.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct FileContent {
    /// The key in hexadecimal digits.
    key: String,
    /// The hashes in hexadecimal digits, by dataset.
    forgotten: BTreeMap<String, BTreeSet<String>>,
}

impl ForgottenRows {
    /// Reads which ids of an output were forgotten. If there are any, the ledger says so from now
    /// on, even if it is a new one that `rebuild` made.
    ///
    /// # Errors
    /// [`SinkError::Forgotten`] if the file cannot be read, or is missing although the ledger says
    /// that ids were forgotten.
    pub(crate) async fn read(output: &OutputStore, ledger: &Ledger) -> Result<Self, SinkError> {
        let error = |reason: String| SinkError::from(ForgottenError { reason });
        let mut content = match read::open(output, FORGOTTEN).await {
            Ok(content) => content,
            Err(object_store::Error::NotFound { .. }) => {
                let ledger = ledger.clone();
                return match offload(move || ledger.has_forgotten()).await? {
                    false => Ok(Self::default()),
                    true => Err(error("it is missing".to_owned())),
                };
            }
            Err(source) => return Err(error(source.to_string())),
        };
        let read = offload(move || {
            let mut text = String::new();
            content.read_to_string(&mut text).map(|_| text)
        });
        let text = read.await.map_err(|source| error(source.to_string()))?;
        let content = serde_json::from_str(&text).map_err(|source| error(source.to_string()))?;
        let forgotten = Self::of(content);
        let forgotten =
            forgotten.ok_or_else(|| error("it has a value that is no hash".to_owned()))?;
        if !forgotten.datasets.is_empty() {
            let ledger = ledger.clone();
            offload(move || ledger.record_forgotten()).await?;
        }
        Ok(forgotten)
    }

    /// `None` if a value is not in hexadecimal digits.
    fn of(content: FileContent) -> Option<Self> {
        let FileContent { key, forgotten } = content;
        let key = if key.is_empty() { None } else { Some(HashKey::parse(&key)?) };
        if key.is_none() && !forgotten.is_empty() {
            return None;
        }
        let mut datasets = BTreeMap::new();
        for (dataset, hashes) in forgotten {
            let hashes = hashes.iter().map(|hash| u128::from_str_radix(hash, 16).ok());
            datasets.insert(dataset, Arc::new(hashes.collect::<Option<HashSet<_>>>()?));
        }
        Some(Self { key, datasets })
    }

    /// The ids of a dataset.
    pub(crate) fn of_dataset(&self, dataset: &Dataset) -> ForgottenIds {
        let hashes = self.datasets.get(&dataset.name).cloned().unwrap_or_default();
        let hasher = self.key.filter(|_| !hashes.is_empty());
        let aliases = dataset.aliases.iter().filter(|(_, column)| dataset.id.contains(column));
        let keys = dataset.id.iter().chain(aliases.map(|(alias, _)| alias)).cloned().collect();
        ForgottenIds { hasher: hasher.map(|key| key.hasher(&dataset.name)), hashes, keys }
    }

    /// Adds ids of a dataset, by the hashes of their texts.
    ///
    /// # Errors
    /// If the operating system has no random numbers for the key.
    pub(crate) fn add(
        &mut self,
        dataset: &str,
        ids: impl IntoIterator<Item = u128>,
    ) -> Result<(), SinkError> {
        let key = match self.key {
            Some(key) => key,
            None => *self.key.insert(HashKey::random()?),
        };
        let hasher = key.hasher(dataset);
        let hashes = Arc::make_mut(self.datasets.entry(dataset.to_owned()).or_default());
        hashes.extend(ids.into_iter().map(|id| hasher.hash(id)));
        Ok(())
    }

    /// Writes the file in place of an older one, and records in the ledger that there is one.
    /// Afterwards it survives a loss of power.
    ///
    /// # Errors
    /// If the output or the ledger cannot be written.
    pub(crate) async fn write(
        &self,
        output: &OutputStore,
        ledger: &Ledger,
    ) -> Result<(), SinkError> {
        let hex = |hashes: &Arc<HashSet<u128>>| -> BTreeSet<String> {
            hashes.iter().map(|hash| format!("{hash:032x}")).collect()
        };
        let datasets = self.datasets.iter().map(|(name, hashes)| (name.clone(), hex(hashes)));
        let content = FileContent {
            key: self.key.map(|key| key.to_string()).unwrap_or_default(),
            forgotten: datasets.collect(),
        };
        let mut spool = output.spool_file().spool();
        let written = serde_json::to_vec_pretty(&content).map_err(std::io::Error::from);
        let written = written.and_then(|json| spool.write_all(&json));
        written.map_err(|error| output.write_error(error.into()))?;
        output.put(FORGOTTEN, 0, spool).await?;
        let ledger = ledger.clone();
        Ok(offload(move || ledger.record_forgotten()).await?)
    }
}

impl ForgottenIds {
    /// Whether no id was forgotten.
    pub(crate) fn is_empty(&self) -> bool {
        self.hasher.is_none()
    }

    /// Whether an id was forgotten, by the hash of its text.
    pub(crate) fn contains(&self, id: u128) -> bool {
        self.hasher.as_ref().is_some_and(|hasher| self.hashes.contains(&hasher.hash(id)))
    }
}

impl HashKey {
    fn random() -> Result<Self, ForgottenError> {
        let mut key = [0; 32];
        getrandom::fill(&mut key).map_err(|error| ForgottenError {
            reason: format!("there are no random numbers for its key: {error}"),
        })?;
        Ok(Self(key))
    }

    fn parse(hex: &str) -> Option<Self> {
        let mut key = [0; 32];
        for (index, byte) in key.iter_mut().enumerate() {
            *byte = u8::from_str_radix(hex.get(2 * index..2 * index + 2)?, 16).ok()?;
        }
        (hex.len() == 64).then_some(Self(key))
    }

    fn hasher(self, dataset: &str) -> IdHasher {
        let mut hasher = Sha256::new();
        hasher.update(self.0);
        hasher.update((dataset.len() as u64).to_le_bytes());
        hasher.update(dataset);
        IdHasher(hasher)
    }
}

impl fmt::Display for HashKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for HashKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HashKey")
    }
}

impl IdHasher {
    /// The first half of the SHA-256 of key, dataset and id. Nobody can compute the hash of a
    /// longer text from it, because the other half is missing and what is hashed has a fixed
    /// length.
    fn hash(&self, id: u128) -> u128 {
        let mut hasher = self.0.clone();
        hasher.update(id.to_le_bytes());
        let mut half = [0; 16];
        half.copy_from_slice(&hasher.finalize()[..16]);
        u128::from_be_bytes(half)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{decode::id_hash, sink::tests::calls};

    #[tokio::test]
    async fn forgotten_ids_are_known_again_after_they_were_written_and_cannot_be_read_there() {
        let folder = tempfile::tempdir().unwrap();
        let output = OutputStore::directory(folder.path()).unwrap();
        let ledger = Ledger::in_memory().unwrap();
        let mut rows = ForgottenRows::read(&output, &ledger).await.unwrap();
        assert!(rows.of_dataset(&calls()).is_empty());
        rows.add("calls", [id_hash("one")]).unwrap();
        rows.write(&output, &ledger).await.unwrap();
        rows.add("calls", [id_hash("two")]).unwrap();
        rows.write(&output, &ledger).await.unwrap();

        let ids = ForgottenRows::read(&output, &ledger).await.unwrap();
        for (dataset, id, is_known) in [
            ("calls", "one", true),
            ("calls", "two", true),
            ("calls", "three", false),
            ("c", "one", false),
        ] {
            let dataset = Dataset { name: dataset.to_owned(), ..Dataset::clone(&calls()) };
            let ids = ids.of_dataset(&dataset);
            assert_eq!(ids.contains(id_hash(id)), is_known, "{} {id}", dataset.name);
        }
        let text = std::fs::read_to_string(folder.path().join(FORGOTTEN)).unwrap();
        assert!(!text.contains(&format!("{:032x}", id_hash("one"))), "only keyed hashes: {text}");
        let mut other = ForgottenRows::default();
        other.add("calls", [id_hash("one")]).unwrap();
        assert_ne!(other.datasets["calls"], ids.datasets["calls"], "each output has its own key");
    }

    #[tokio::test]
    async fn a_missing_file_is_noticed_although_no_row_was_left_out_because_of_it() {
        let folder = tempfile::tempdir().unwrap();
        let output = OutputStore::directory(folder.path()).unwrap();
        let ledger = Ledger::in_memory().unwrap();
        let mut rows = ForgottenRows::read(&output, &ledger).await.unwrap();
        rows.add("calls", [id_hash("one")]).unwrap();
        rows.write(&output, &ledger).await.unwrap();
        // a ledger that is made anew learns of the file when it is read
        let anew = Ledger::in_memory().unwrap();
        ForgottenRows::read(&output, &anew).await.unwrap();
        std::fs::remove_file(folder.path().join(FORGOTTEN)).unwrap();
        for ledger in [ledger, anew] {
            let error = ForgottenRows::read(&output, &ledger).await.unwrap_err().to_string();
            assert!(error.contains("it is missing"), "{error}");
        }
    }

    #[tokio::test]
    async fn a_damaged_file_is_refused_and_so_is_a_missing_one_that_held_ids() {
        let folder = tempfile::tempdir().unwrap();
        let output = OutputStore::directory(folder.path()).unwrap();
        let ledger = Ledger::in_memory().unwrap();
        for text in ["{", r#"{"key":"xyz"}"#, r#"{"forgotten":{"calls":["00"]}}"#] {
            std::fs::write(folder.path().join(FORGOTTEN), text).unwrap();
            let error = ForgottenRows::read(&output, &ledger).await.unwrap_err().to_string();
            assert!(error.contains(FORGOTTEN) && error.contains("backup"), "{error}");
        }
        std::fs::write(folder.path().join(FORGOTTEN), "{}").unwrap();
        ForgottenRows::read(&output, &ledger).await.unwrap();
    }
}
