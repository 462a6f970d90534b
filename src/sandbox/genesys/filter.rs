//! Filters of queries, compiled to bit sets of values.
//!
//! A predicate is evaluated for the whole conversation, while the platform evaluates segment
//! filters for each segment. For the dimensions simulated here the two differ only for two
//! predicates joined by `and`.

use serde::{Deserialize, de::IgnoredAny};

use crate::sandbox::{
    error::ApiError,
    genesys::conversations::records::{Dimension, Facts, Medium, QUEUES},
    rng::{Pool, id},
};

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Join {
    #[default]
    And,
    Or,
}

/// A filter or a clause of one, as in the request.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct RequestedFilter {
    #[serde(rename = "type")]
    join: Option<Join>,
    clauses: Option<Vec<RequestedFilter>>,
    predicates: Option<Vec<Predicate>>,
}

#[derive(Clone, Debug, Deserialize)]
struct Predicate {
    #[serde(rename = "type")]
    kind: Option<String>,
    dimension: Option<String>,
    operator: Option<String>,
    value: Option<String>,
    range: Option<IgnoredAny>,
}

/// What a filter applies to; each has its own dimensions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FilterTarget {
    Conversation,
    Segment,
}

/// A filter that can be evaluated.
#[derive(Debug)]
pub(crate) struct Filter {
    join: Join,
    tests: Vec<Test>,
    clauses: Vec<Filter>,
}

/// Whether a conversation has any of the values or, if `wanted` is false, none of them.
#[derive(Debug)]
struct Test {
    dimension: Dimension,
    values: u32,
    wanted: bool,
}

impl RequestedFilter {
    /// Whether it has no predicate.
    pub(crate) fn is_empty(&self) -> bool {
        self.clauses.iter().flatten().all(Self::is_empty)
            && self.predicates.as_ref().is_none_or(Vec::is_empty)
    }

    /// Checks that its predicates are on `known` dimensions and can be evaluated.
    ///
    /// # Errors
    ///
    /// 400 that names what is not simulated.
    pub(crate) fn check(&self, known: &[&str]) -> Result<(), ApiError> {
        self.clauses.iter().flatten().try_for_each(|clause| clause.check(known))?;
        for Predicate { kind, dimension, operator, range, .. } in self.predicates.iter().flatten() {
            let name = dimension.as_deref().unwrap_or_default();
            let is_supported =
                matches!(operator.as_deref(), None | Some("matches" | "exists" | "notExists"));
            if !known.contains(&name) {
                return Err(ApiError::bad_request(format!("unknown dimension: {name}")));
            }
            if !is_supported
                || range.is_some()
                || kind.as_deref().is_some_and(|kind| kind != "dimension")
            {
                return Err(ApiError::bad_request(format!(
                    "this predicate on {name} is not simulated by the sandbox"
                )));
            }
        }
        Ok(())
    }

    /// Whether something matches, where `of` returns its value in a dimension.
    pub(crate) fn matches<'a>(&self, of: &dyn Fn(&str) -> Option<&'a str>) -> bool {
        let predicates = self.predicates.iter().flatten().map(
            |Predicate { dimension, operator, value, .. }| {
                let has = of(dimension.as_deref().unwrap_or_default());
                match operator.as_deref() {
                    Some("exists") => has.is_some(),
                    Some("notExists") => has.is_none(),
                    _ => has == value.as_deref(),
                }
            },
        );
        let clauses = self.clauses.iter().flatten().filter(|clause| !clause.is_empty());
        let mut answers = predicates.chain(clauses.map(|clause| clause.matches(of)));
        match self.join.unwrap_or_default() {
            Join::And => answers.all(|yes| yes),
            Join::Or => self.is_empty() || answers.any(|yes| yes),
        }
    }
}

impl Filter {
    /// Compiles a filter.
    ///
    /// # Errors
    ///
    /// 400 for a predicate that the platform rejects or the sandbox does not simulate; the message
    /// names it.
    pub(crate) fn new(
        filter_request: &RequestedFilter,
        target: FilterTarget,
        seed: u64,
    ) -> Result<Self, ApiError> {
        Self::nested(filter_request, target, seed, 2)
    }

    fn nested(
        filter_request: &RequestedFilter,
        target: FilterTarget,
        seed: u64,
        levels: u32,
    ) -> Result<Self, ApiError> {
        let clauses = filter_request.clauses.as_deref().unwrap_or_default();
        if levels == 0 || (levels == 1 && !clauses.is_empty()) {
            return Err(ApiError::bad_request("a clause holds predicates only"));
        }
        Ok(Self {
            join: filter_request.join.unwrap_or_default(),
            tests: filter_request
                .predicates
                .iter()
                .flatten()
                .map(|p| Test::new(p, target, seed))
                .collect::<Result<_, _>>()?,
            clauses: clauses
                .iter()
                .filter(|clause| !clause.is_empty())
                .map(|clause| Self::nested(clause, target, seed, levels - 1))
                .collect::<Result<_, _>>()?,
        })
    }

    pub(crate) fn matches(&self, facts: &Facts) -> bool {
        let mut answers = self
            .tests
            .iter()
            .map(|test| test.matches(facts))
            .chain(self.clauses.iter().map(|clause| clause.matches(facts)));
        match self.join {
            Join::And => answers.all(|yes| yes),
            Join::Or => answers.any(|yes| yes),
        }
    }
}

impl Test {
    fn new(predicate: &Predicate, target: FilterTarget, seed: u64) -> Result<Self, ApiError> {
        let reject = |what: String| Err(ApiError::bad_request(what));
        if let Some(kind) = predicate.kind.as_deref().filter(|kind| *kind != "dimension") {
            return reject(format!("predicates of type {kind} are not simulated by the sandbox"));
        }
        let name = predicate.dimension.as_deref().unwrap_or_default();
        let dimension = match (target, name) {
            (FilterTarget::Conversation, "originatingDirection") => Dimension::OriginatingDirection,
            (FilterTarget::Segment, "mediaType") => Dimension::MediaType,
            (FilterTarget::Segment, "queueId") => Dimension::QueueId,
            _ => return reject(format!("unknown dimension: {name}")),
        };
        if predicate.range.is_some() {
            return reject(format!("a range of {name} is not simulated by the sandbox"));
        }
        match (predicate.operator.as_deref().unwrap_or("matches"), predicate.value.as_deref()) {
            ("matches", Some(value)) => {
                Ok(Self { dimension, values: bits(dimension, value, seed), wanted: true })
            }
            ("matches", None) => reject(format!("the predicate on {name} has no value")),
            ("exists", _) => Ok(Self { dimension, values: u32::MAX, wanted: true }),
            ("notExists", _) => Ok(Self { dimension, values: u32::MAX, wanted: false }),
            (operator, _) => reject(format!("unknown operator: {operator}")),
        }
    }

    fn matches(&self, facts: &Facts) -> bool {
        (facts.values(self.dimension) & self.values != 0) == self.wanted
    }
}

/// The bit of a value in its dimension; 0 for a value that no conversation has.
fn bits(dimension: Dimension, value: &str, seed: u64) -> u32 {
    let at = match dimension {
        Dimension::MediaType => Medium::NAMES.iter().position(|name| *name == value),
        Dimension::OriginatingDirection => {
            ["inbound", "outbound"].iter().position(|name| *name == value)
        }
        Dimension::QueueId => (0..QUEUES.into())
            .position(|queue| id(seed, Pool::Queue, queue).text() == *value.as_bytes()),
    };
    at.map_or(0, |at| 1 << at)
}

/// Compiles the filters of a request, without those that have no predicate.
///
/// # Errors
///
/// See [`Filter::new`].
pub(crate) fn compile(
    requested: Option<&[RequestedFilter]>,
    target: FilterTarget,
    seed: u64,
) -> Result<Vec<Filter>, ApiError> {
    requested
        .unwrap_or_default()
        .iter()
        .filter(|filter_request| !filter_request.is_empty())
        .map(|filter_request| Filter::new(filter_request, target, seed))
        .collect()
}
