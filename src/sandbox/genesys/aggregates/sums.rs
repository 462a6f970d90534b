//! Computes the sums of an aggregate query.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::sandbox::{
    genesys::{
        aggregates::{AggregateQuery, Subject},
        conversations::records::{Facts, Records},
        renderer::{AGENTS, Renderer},
    },
    rng::{Pool, Rng, id},
};

/// Statistics of the values of a metric.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AggregateStats {
    pub(crate) count: i64,
    pub(crate) sum: i64,
    pub(crate) min: i64,
    pub(crate) max: i64,
}

/// By group (the values of `groupBy`), start of the bucket, and metric with its qualifier.
pub(crate) type Sums =
    BTreeMap<Vec<Option<String>>, BTreeMap<i64, BTreeMap<(String, &'static str), AggregateStats>>>;

/// The part of a conversation's record that is summed.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ConversationRecord {
    originating_direction: String,
    participants: Vec<ParticipantRecord>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ParticipantRecord {
    purpose: String,
    user_id: Option<String>,
    sessions: Vec<SessionRecord>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SessionRecord {
    media_type: String,
    direction: String,
    flow: Option<FlowRecord>,
    segments: Vec<SegmentRecord>,
    metrics: Vec<MetricRecord>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct FlowRecord {
    flow_id: String,
    flow_name: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SegmentRecord {
    queue_id: Option<String>,
}

#[derive(Deserialize)]
struct MetricRecord {
    name: String,
    value: i64,
}

impl AggregateQuery {
    pub(crate) fn sums(&self, records: &Records) -> Sums {
        let mut sums = Sums::new();
        if self.subject == Subject::Users {
            self.users(records.seed, &mut sums);
            return sums;
        }
        for day in self.interval.days() {
            for facts in records.day(day).iter().filter(|facts| self.interval.contains(facts.start))
            {
                self.conversation(records.seed, facts, &mut sums);
            }
        }
        sums
    }

    /// The start of the bucket that holds a time.
    fn start_of(&self, ms: i64) -> i64 {
        ms - (ms - self.interval.from) % self.granularity
    }

    fn conversation(&self, seed: u64, facts: &Facts, sums: &mut Sums) {
        let mut renderer = Renderer::new(seed, 1);
        renderer.conversation(facts);
        // the renderer writes all of these fields: a test compares the counts
        let Ok(record) = serde_json::from_slice::<ConversationRecord>(&renderer.json.into_bytes())
        else {
            return;
        };
        for participant in &record.participants {
            for session in &participant.sessions {
                // only the session of the menu belongs to a flow
                if self.subject == Subject::Flows && session.flow.is_none() {
                    continue;
                }
                let of = |dimension: &str| value_of(dimension, &record, participant, session);
                for MetricRecord { name, value } in
                    session.metrics.iter().filter(|metric| metric.counts())
                {
                    self.count((name, ""), *value, facts.start, &of, sums);
                }
            }
        }
    }

    /// Divides every bucket of an agent among the states of each metric.
    fn users(&self, seed: u64, sums: &mut Sums) {
        const STATES: [(&str, [&str; 3]); 2] = [
            ("tSystemPresence", ["AVAILABLE", "ON_QUEUE", "OFFLINE"]),
            ("tAgentRoutingStatus", ["IDLE", "INTERACTING", "OFF_QUEUE"]),
        ];
        let mut start = self.interval.from;
        while start < self.interval.to {
            let end = start.saturating_add(self.granularity).min(self.interval.to);
            for agent in 0..AGENTS {
                let mut rng = Rng::new([seed, 0xa99, agent, start.cast_unsigned()]);
                let user = id(seed, Pool::Agent, agent).to_string();
                for (metric, [one, two, rest]) in STATES {
                    let first = rng.between(1, (end - start).max(2));
                    let second = rng.between(0, end - start - first + 1);
                    for (state, time) in
                        [(one, first), (two, second), (rest, end - start - first - second)]
                    {
                        if time > 0 {
                            self.count((metric, state), time, start, &|_| Some(&user), sums);
                        }
                    }
                }
            }
            start = end;
        }
    }

    /// Counts a value if the query asks for its metric and the filter accepts it.
    fn count<'a>(
        &self,
        (metric, qualifier): (&str, &'static str),
        value: i64,
        at: i64,
        of: &dyn Fn(&str) -> Option<&'a str>,
        sums: &mut Sums,
    ) {
        let is_requested = self.metrics.iter().any(|requested| requested == metric);
        if !is_requested || self.filter.as_ref().is_some_and(|filter| !filter.matches(of)) {
            return;
        }
        let group =
            self.group_by.iter().map(|dimension| of(dimension).map(str::to_owned)).collect();
        let bucket = sums.entry(group).or_default().entry(self.start_of(at)).or_default();
        let stats = bucket.entry((metric.to_owned(), qualifier)).or_insert(AggregateStats {
            count: 0,
            sum: 0,
            min: i64::MAX,
            max: i64::MIN,
        });
        stats.count += 1;
        stats.sum += value;
        (stats.min, stats.max) = (stats.min.min(value), stats.max.max(value));
    }
}

impl MetricRecord {
    /// Whether it counts: a count metric of 0 does not.
    fn counts(&self) -> bool {
        self.value != 0 || !self.name.starts_with('n')
    }
}

/// The value that a session has in a dimension.
fn value_of<'r>(
    dimension: &str,
    record: &'r ConversationRecord,
    participant: &'r ParticipantRecord,
    session: &'r SessionRecord,
) -> Option<&'r str> {
    match dimension {
        "mediaType" => Some(&session.media_type),
        "direction" => Some(&session.direction),
        "originatingDirection" => Some(&record.originating_direction),
        "purpose" => Some(&participant.purpose),
        "queueId" => session.segments.iter().find_map(|segment| segment.queue_id.as_deref()),
        "userId" => participant.user_id.as_deref(),
        "flowId" => Some(&session.flow.as_ref()?.flow_id),
        _ => Some(&session.flow.as_ref()?.flow_name),
    }
}
