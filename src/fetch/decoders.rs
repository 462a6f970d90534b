//! The decoders of a run: one for each dataset, which its shards share.
//!
//! The column builders of a decoder take longer to make than a small page takes to decode, and as
//! much memory as a large page. So all sources of the process share a decoder for datasets that are
//! decoded alike, and there are at most as many sets of builders as threads that decode.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use dashmap::DashMap;

use crate::{
    catalog::Dataset,
    decode::Decoder,
    privacy::{Policies, Policy},
};

/// The decoders of all runs of the process.
static KNOWN: Mutex<Vec<Known>> = Mutex::new(Vec::new());

/// A decoder, while it is in use, and what it was made for.
struct Known {
    dataset: Arc<Dataset>,
    drops_new_fields: bool,
    policy: Option<Arc<Policy>>,
    decoder: Weak<Decoder>,
}

/// The decoders of a run.
#[derive(Debug, Default)]
pub(crate) struct Decoders {
    drops_new_fields: bool,
    policies: Policies,
    /// By the name of the dataset.
    decoders: DashMap<String, (Arc<Dataset>, Arc<Decoder>)>,
}

impl Decoders {
    /// Decoders that keep fields without a column, or only count them, and hide of the rows what
    /// the policies say.
    pub(crate) fn new(drops_new_fields: bool, policies: Policies) -> Self {
        Self { drops_new_fields, policies, decoders: DashMap::new() }
    }

    /// The decoder of a dataset.
    pub(crate) fn of(&self, dataset: &Arc<Dataset>) -> Arc<Decoder> {
        let policy = self.policies.get(&dataset.name);
        let shared = || (Arc::clone(dataset), shared(dataset, self.drops_new_fields, policy));
        let mut entry = self.decoders.entry(dataset.name.clone()).or_insert_with(shared);
        if !Arc::ptr_eq(&entry.0, dataset) {
            *entry = shared();
        }
        Arc::clone(&entry.1)
    }
}

/// A decoder in use of a dataset that is decoded alike, or a new one.
fn shared(
    dataset: &Arc<Dataset>,
    drops_new_fields: bool,
    policy: Option<&Arc<Policy>>,
) -> Arc<Decoder> {
    let fingerprint = |policy: &Arc<Policy>| policy.fingerprint().to_owned();
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    known.retain(|known| known.decoder.strong_count() > 0);
    let same = known.iter().find_map(|known| {
        let is_same = known.drops_new_fields == drops_new_fields
            && known.policy.as_ref().map(fingerprint) == policy.map(fingerprint)
            && are_decoded_alike(&known.dataset, dataset);
        known.decoder.upgrade().filter(|_| is_same)
    });
    same.unwrap_or_else(|| {
        let mut decoder = Decoder::new(dataset);
        if drops_new_fields {
            decoder = decoder.dropping_new_fields();
        }
        let policy = policy.cloned();
        if let Some(policy) = &policy {
            decoder = decoder.hiding(Arc::clone(policy));
        }
        let (dataset, decoder) = (Arc::clone(dataset), Arc::new(decoder));
        known.push(Known { dataset, drops_new_fields, policy, decoder: Arc::downgrade(&decoder) });
        decoder
    })
}

/// Whether the rows of both datasets are read into columns in the same way.
fn are_decoded_alike(one: &Dataset, other: &Dataset) -> bool {
    one.schema == other.schema
        && one.aliases == other.aliases
        && one.forms == other.forms
        && one.zone == other.zone
        && one.ignore == other.ignore
        && one.personal == other.personal
        && (&one.id, &one.time, &one.newest) == (&other.id, &other.time, &other.newest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        catalog,
        privacy::{HashKey, PolicySettings},
    };

    #[test]
    fn shards_and_runs_share_the_decoder_of_datasets_that_are_decoded_alike() {
        let dataset = catalog::test_dataset("conversations");
        let copy = Arc::new(Dataset::clone(dataset));
        let other = Arc::new(Dataset {
            ignore: vec!["participants".to_owned()],
            ..Dataset::clone(dataset)
        });
        let decoders = |drops| Decoders::new(drops, Policies::new());
        let run = decoders(false);
        let decoder = run.of(dataset);
        assert!(Arc::ptr_eq(&decoder, &run.of(dataset)));
        assert!(Arc::ptr_eq(&decoder, &run.of(&copy)));
        assert!(Arc::ptr_eq(&decoder, &decoders(false).of(dataset)), "another source");
        assert!(!Arc::ptr_eq(&decoder, &run.of(&other)), "what is ignored differs");
        assert!(!Arc::ptr_eq(&decoder, &decoders(true).of(dataset)));
    }

    #[test]
    fn sources_with_different_policies_or_keys_do_not_share_a_decoder() {
        let dataset = catalog::test_dataset("conversations");
        let decoders = |key: Option<&str>| {
            let policy = key.map(|key| {
                let key = HashKey::new(&key.into());
                let settings =
                    PolicySettings { key, hides_personal: true, keeps_new_fields: false };
                (dataset.name.clone(), Arc::new(Policy::new(&settings, dataset, &[]).unwrap()))
            });
            Decoders::new(false, policy.into_iter().collect())
        };
        let decoder = decoders(Some("0123456789abcdef")).of(dataset);
        for (key, is_same) in
            [(Some("0123456789abcdef"), true), (Some("fedcba9876543210"), false), (None, false)]
        {
            assert_eq!(Arc::ptr_eq(&decoder, &decoders(key).of(dataset)), is_same, "{key:?}");
        }
    }
}
