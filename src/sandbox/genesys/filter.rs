//! Filters of the details query, made into questions of bits.
//!
//! A predicate is asked of the whole conversation, where the platform asks segment filters of each
//! segment: for the dimensions played here the two differ only for two predicates joined by `and`.

use serde::{Deserialize, de::IgnoredAny};

use crate::sandbox::{
    error::ApiError,
    genesys::records::{Dimension, Facts, Medium, QUEUES},
    rng::{Pool, id},
};

/// `and` or `or`.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Join {
    #[default]
    And,
    Or,
}

/// A filter, or a clause of one, as the request has it.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct RequestedFilter {
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

/// The two places that a filter can stand in: each knows its own dimensions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FilterTarget {
    Conversation,
    Segment,
}

/// A filter that can be asked.
#[derive(Debug)]
pub(super) struct Filter {
    join: Join,
    tests: Vec<Test>,
    clauses: Vec<Filter>,
}

/// Whether a conversation has (or, `wanted` being false, lacks) any of some values.
#[derive(Debug)]
struct Test {
    dimension: Dimension,
    values: u32,
    wanted: bool,
}

impl RequestedFilter {
    /// Whether it asks nothing.
    pub(super) fn is_empty(&self) -> bool {
        self.clauses.iter().flatten().all(Self::is_empty)
            && self.predicates.as_ref().is_none_or(Vec::is_empty)
    }

    /// Whether it can be asked of what has the `known` dimensions.
    ///
    /// # Errors
    ///
    /// 400 that names what is not played.
    pub(super) fn check(&self, known: &[&str]) -> Result<(), ApiError> {
        self.clauses.iter().flatten().try_for_each(|clause| clause.check(known))?;
        for Predicate { kind, dimension, operator, range, .. } in self.predicates.iter().flatten() {
            let name = dimension.as_deref().unwrap_or_default();
            let usual =
                matches!(operator.as_deref(), None | Some("matches" | "exists" | "notExists"));
            if !known.contains(&name) {
                return Err(ApiError::bad_request(format!("unknown dimension: {name}")));
            }
            if !usual || range.is_some() || kind.as_deref().is_some_and(|kind| kind != "dimension")
            {
                return Err(ApiError::bad_request(format!(
                    "this predicate on {name} is not played by the sandbox"
                )));
            }
        }
        Ok(())
    }

    /// Whether something is what is wished, whose value in a dimension `of` tells.
    pub(super) fn holds<'a>(&self, of: &dyn Fn(&str) -> Option<&'a str>) -> bool {
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
        let mut answers = predicates.chain(clauses.map(|clause| clause.holds(of)));
        match self.join.unwrap_or_default() {
            Join::And => answers.all(|yes| yes),
            Join::Or => self.is_empty() || answers.any(|yes| yes),
        }
    }
}

impl Filter {
    /// # Errors
    ///
    /// 400 for a predicate that the platform would refuse, or that is not played here; the message
    /// names it.
    pub(super) fn new(
        filter_request: &RequestedFilter,
        place: FilterTarget,
        seed: u64,
    ) -> Result<Self, ApiError> {
        Self::nested(filter_request, place, seed, 2)
    }

    fn nested(
        filter_request: &RequestedFilter,
        place: FilterTarget,
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
                .map(|p| Test::new(p, place, seed))
                .collect::<Result<_, _>>()?,
            clauses: clauses
                .iter()
                .filter(|clause| !clause.is_empty())
                .map(|clause| Self::nested(clause, place, seed, levels - 1))
                .collect::<Result<_, _>>()?,
        })
    }

    pub(super) fn admits(&self, facts: &Facts) -> bool {
        let mut answers = self
            .tests
            .iter()
            .map(|test| test.admits(facts))
            .chain(self.clauses.iter().map(|clause| clause.admits(facts)));
        match self.join {
            Join::And => answers.all(|yes| yes),
            Join::Or => answers.any(|yes| yes),
        }
    }
}

impl Test {
    fn new(predicate: &Predicate, place: FilterTarget, seed: u64) -> Result<Self, ApiError> {
        let refuse = |what: String| Err(ApiError::bad_request(what));
        if let Some(kind) = predicate.kind.as_deref().filter(|kind| *kind != "dimension") {
            return refuse(format!("predicates of type {kind} are not played by the sandbox"));
        }
        let name = predicate.dimension.as_deref().unwrap_or_default();
        let dimension = match (place, name) {
            (FilterTarget::Conversation, "originatingDirection") => Dimension::OriginatingDirection,
            (FilterTarget::Segment, "mediaType") => Dimension::MediaType,
            (FilterTarget::Segment, "queueId") => Dimension::QueueId,
            _ => return refuse(format!("unknown dimension: {name}")),
        };
        if predicate.range.is_some() {
            return refuse(format!("a range of {name} is not played by the sandbox"));
        }
        match (predicate.operator.as_deref().unwrap_or("matches"), predicate.value.as_deref()) {
            ("matches", Some(value)) => {
                Ok(Self { dimension, values: bits(dimension, value, seed), wanted: true })
            }
            ("matches", None) => refuse(format!("the predicate on {name} has no value")),
            ("exists", _) => Ok(Self { dimension, values: u32::MAX, wanted: true }),
            ("notExists", _) => Ok(Self { dimension, values: u32::MAX, wanted: false }),
            (operator, _) => refuse(format!("unknown operator: {operator}")),
        }
    }

    fn admits(&self, facts: &Facts) -> bool {
        (facts.values(self.dimension) & self.values != 0) == self.wanted
    }
}

/// The bit of a value in its dimension; none for a value that no conversation has.
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

/// The filters of a request; those that ask nothing are none.
///
/// # Errors
///
/// See [`Filter::new`].
pub(super) fn compile(
    wishes: Option<&[RequestedFilter]>,
    place: FilterTarget,
    seed: u64,
) -> Result<Vec<Filter>, ApiError> {
    wishes
        .unwrap_or_default()
        .iter()
        .filter(|filter_request| !filter_request.is_empty())
        .map(|filter_request| Filter::new(filter_request, place, seed))
        .collect()
}
