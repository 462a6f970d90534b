//! Where the sums of an aggregate query come from.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::sandbox::{
    genesys::{
        aggregates::{AggregateQuery, Subject},
        records::{Facts, Records, days_of},
        renderer::{AGENTS, Renderer},
    },
    rng::{Pool, Rng, id},
};

/// Values of a metric: how many, and so on.
#[derive(Clone, Copy, Debug)]
pub(super) struct AggregateStats {
    pub(super) count: i64,
    pub(super) sum: i64,
    pub(super) min: i64,
    pub(super) max: i64,
}

/// By group (the values of `groupBy`), start of the span, and metric with its qualifier.
pub(super) type Sums =
    BTreeMap<Vec<Option<String>>, BTreeMap<i64, BTreeMap<(String, &'static str), AggregateStats>>>;

/// What of a conversation's record is summed up.
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
    pub(super) fn sums(&self, records: &Records) -> Sums {
        let mut sums = Sums::new();
        if self.subject == Subject::Users {
            self.users(records.seed, &mut sums);
            return sums;
        }
        for day in days_of(self.interval) {
            for facts in records.day(day).iter().filter(|facts| self.interval.contains(facts.start))
            {
                self.conversation(records.seed, facts, &mut sums);
            }
        }
        sums
    }

    /// The start of the span that holds a time.
    fn start_of(&self, ms: i64) -> i64 {
        ms - (ms - self.interval.from_ms()) % self.granularity
    }

    fn conversation(&self, seed: u64, facts: &Facts, sums: &mut Sums) {
        let mut renderer = Renderer::new(seed, 1);
        renderer.conversation(facts);
        // What the scribe writes has these fields: the tests count.
        let Ok(record) = serde_json::from_slice::<ConversationRecord>(&renderer.json.into_bytes())
        else {
            return;
        };
        for party in &record.participants {
            for session in &party.sessions {
                // A session that waits or talks is part of no flow.
                if self.subject == Subject::Flows && session.flow.is_none() {
                    continue;
                }
                let of = |dimension: &str| value_of(dimension, &record, party, session);
                for MetricRecord { name, value } in
                    session.metrics.iter().filter(|metric| metric.counts())
                {
                    self.count((name, ""), *value, facts.start, &of, sums);
                }
            }
        }
    }

    /// Every span of an agent is spent, part by part, in the states of each metric.
    fn users(&self, seed: u64, sums: &mut Sums) {
        const STATES: [(&str, [&str; 3]); 2] = [
            ("tSystemPresence", ["AVAILABLE", "ON_QUEUE", "OFFLINE"]),
            ("tAgentRoutingStatus", ["IDLE", "INTERACTING", "OFF_QUEUE"]),
        ];
        let mut start = self.interval.from_ms();
        while start < self.interval.to_ms() {
            let end = start.saturating_add(self.granularity).min(self.interval.to_ms());
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

    /// Counts a value, if it is asked for.
    fn count<'a>(
        &self,
        (metric, qualifier): (&str, &'static str),
        value: i64,
        at: i64,
        of: &dyn Fn(&str) -> Option<&'a str>,
        sums: &mut Sums,
    ) {
        let wanted = self.metrics.iter().any(|wanted| wanted == metric);
        if !wanted || self.filter.as_ref().is_some_and(|filter| !filter.holds(of)) {
            return;
        }
        let group =
            self.group_by.iter().map(|dimension| of(dimension).map(str::to_owned)).collect();
        let span = sums.entry(group).or_default().entry(self.start_of(at)).or_default();
        let stats = span.entry((metric.to_owned(), qualifier)).or_insert(AggregateStats {
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
    /// Whether it says that something happened.
    fn counts(&self) -> bool {
        self.value != 0 || !self.name.starts_with('n')
    }
}

/// The value that a session has in a dimension.
fn value_of<'r>(
    dimension: &str,
    record: &'r ConversationRecord,
    party: &'r ParticipantRecord,
    session: &'r SessionRecord,
) -> Option<&'r str> {
    match dimension {
        "mediaType" => Some(&session.media_type),
        "direction" => Some(&session.direction),
        "originatingDirection" => Some(&record.originating_direction),
        "purpose" => Some(&party.purpose),
        "queueId" => session.segments.iter().find_map(|segment| segment.queue_id.as_deref()),
        "userId" => party.user_id.as_deref(),
        "flowId" => Some(&session.flow.as_ref()?.flow_id),
        _ => Some(&session.flow.as_ref()?.flow_name),
    }
}
