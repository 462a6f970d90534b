//! What is hidden of the rows of a dataset.

use std::{collections::BTreeMap, sync::Arc};

use arrow::{
    array::{Array, AsArray, RecordBatch, RecordBatchOptions},
    datatypes::Fields,
    error::ArrowError,
};

use crate::{
    catalog::{Dataset, EXTRA, PersonalColumn, PersonalKind},
    privacy::{
        Action, HashKey, Rule, RuleError,
        hide::{hide, map_entries},
        rules::{Node, RuleTree},
    },
};

/// Digits of a fingerprint: enough to tell policies apart, and no more.
const FINGERPRINT_DIGITS: usize = 32;

/// The policies of a source, by dataset. Empty if nothing is hidden.
pub(crate) type Policies = BTreeMap<String, Arc<Policy>>;

/// What is hidden of the rows of a dataset.
#[derive(Debug)]
pub struct Policy {
    /// The columns of the dataset.
    pub(super) fields: Fields,
    /// What happens to some of them.
    pub(super) columns: BTreeMap<String, Node>,
    /// Other names of columns in responses.
    pub(super) aliases: Vec<(String, String)>,
    pub(super) key: HashKey,
    pub(super) keeps_new_fields: bool,
    fingerprint: String,
}

/// What the policies of all datasets have in common.
#[derive(Debug, Clone)]
pub(crate) struct PolicySettings {
    pub key: HashKey,
    /// Whether what the catalog marks as personal is hidden.
    pub hides_personal: bool,
    /// Whether values of fields that have no column are kept.
    pub keeps_new_fields: bool,
}

impl Policy {
    /// The policy of a dataset: these rules, and for other columns what its catalog marks as
    /// personal.
    ///
    /// The dataset has all of its columns, also those that are not fetched.
    ///
    /// # Errors
    /// The first rule, of the user or of the catalog, that cannot be followed.
    pub(crate) fn new(
        settings: &PolicySettings,
        dataset: &Dataset,
        rules: &[Rule],
    ) -> Result<Self, (Rule, RuleError)> {
        let fields = dataset.schema.fields();
        let mut tree = RuleTree::default();
        if settings.hides_personal {
            for PersonalColumn { names, kind } in &dataset.personal {
                let action = match kind {
                    PersonalKind::Identifier => Action::Hash,
                    PersonalKind::FreeText => Action::Drop,
                };
                let rule = Rule { names: names.clone(), action };
                let is_kept = rules.contains(&Rule { action: Action::Keep, ..rule.clone() });
                if let Some(reason) = need(dataset, names).filter(|_| !is_kept) {
                    return Err((rule, RuleError::MarkedNeeded(reason)));
                }
                rule.check(fields).map_err(|error| (rule.clone(), error))?;
                tree.insert(&rule);
            }
        }
        let marks = match dataset.personal_version.filter(|_| settings.hides_personal) {
            Some(version) => format!("version {version}\n"),
            None => tree.text(),
        };
        let mut own = RuleTree::default();
        for rule in rules {
            let error = |error| (rule.clone(), error);
            if rule.names.first().is_some_and(|column| column == EXTRA) {
                return Err(error(RuleError::Extra));
            }
            let needed = need(dataset, &rule.names).filter(|_| rule.action != Action::Keep);
            if let Some(reason) = needed {
                return Err(error(RuleError::Needed(reason)));
            }
            rule.check(fields).map_err(error)?;
            tree.insert(rule);
            own.insert(rule);
        }
        let (kept, own) = (settings.keeps_new_fields, own.text());
        let text = format!("new fields kept: {kept}\nmarks:\n{marks}rules:\n{own}");
        let mut fingerprint =
            settings.key.hash(format!("cxbackfill: which policy is it\n{text}").as_bytes());
        fingerprint.truncate(FINGERPRINT_DIGITS);
        Ok(Self {
            columns: tree.columns(fields, Action::Keep),
            fields: fields.clone(),
            aliases: dataset.aliases.clone(),
            key: settings.key.clone(),
            keeps_new_fields: settings.keeps_new_fields,
            fingerprint,
        })
    }

    /// Hides the values of rows that came in a response. To be called once for each row: otherwise
    /// a hash would be hashed again.
    ///
    /// # Errors
    /// If the columns are not those of the dataset.
    pub(crate) fn apply(&self, batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
        let schema = batch.schema();
        let mut columns = batch.columns().to_vec();
        for (field, column) in schema.fields().iter().zip(&mut columns) {
            if field.name() == EXTRA && column.null_count() < column.len() {
                *column = map_entries(column.as_map(), |path, json| self.extra_value(path, json))?;
            } else if let Some(node) = self.columns.get(field.name()) {
                *column = hide(column, node, &self.key)?;
            }
        }
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        RecordBatch::try_new_with_options(schema, columns, &options)
    }

    /// The key of the hashes.
    pub(crate) fn key(&self) -> &HashKey {
        &self.key
    }

    /// Whether values of fields that have no column are kept.
    pub(crate) fn keeps_new_fields(&self) -> bool {
        self.keeps_new_fields
    }

    /// A text that changes with the policy and with the key, and tells neither.
    pub(crate) fn fingerprint(&self) -> &str {
        &self.fingerprint
    }
}

/// Why the program needs the values of the column that a path leads into. `None` if it does not, so
/// that they can be hidden.
fn need(dataset: &Dataset, names: &[String]) -> Option<&'static str> {
    let column = names.first()?;
    let is = |name: &Option<String>| name.as_ref() == Some(column);
    let mut parents = dataset.endpoints().filter_map(|endpoint| endpoint.parent.as_ref());
    if dataset.id.iter().any(|id| id == column) {
        Some("it identifies rows")
    } else if dataset.time == *column {
        Some("it is the time of rows")
    } else if is(&dataset.newest) {
        Some("it tells which copy of a row is the newest")
    } else if is(&dataset.open) {
        Some("it tells which rows are open")
    } else {
        parents.any(|parent| parent.column == *column).then_some("it names the parent of rows")
    }
}
