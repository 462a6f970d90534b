//! Writes the participants of a conversation: customer, menu, queues and agents.

use crate::sandbox::{
    genesys::{
        conversations::{
            attributes::AttributeSource,
            records::Medium,
            timeline::{AgentTurn, Timeline},
        },
        renderer::Renderer,
    },
    rng::Pool,
};

const MINUTE: i64 = 60_000;

impl Renderer {
    pub(super) fn participants(&mut self, timeline: &Timeline, turns: &[AgentTurn]) {
        let mut attributes = AttributeSource::of(&timeline.facts, self.seed);
        let mut participant = |s: &mut Self, write: &dyn Fn(&mut Self)| {
            s.object(|s| {
                write(s);
                if s.with_attributes {
                    attributes.write(s);
                }
            });
        };
        participant(self, &|s| s.customer(timeline, turns));
        if let Some(until) = timeline.menu_until() {
            participant(self, &|s| s.menu(timeline, until));
        }
        for turn in turns {
            if !timeline.facts.outbound {
                participant(self, &|s| s.queue(timeline, turn));
            }
            if !timeline.facts.abandoned {
                participant(self, &|s| s.agent(timeline, turn));
            }
        }
    }

    fn customer(&mut self, timeline: &Timeline, turns: &[AgentTurn]) {
        if self.rng.permille(400) {
            let contact = self.rng.below(20_000);
            self.json.uuid("externalContactId", self.id(Pool::Contact, contact));
        }
        self.json.uuid("participantId", self.rng.uuid());
        self.json.text("participantName", timeline.customer);
        self.json.text("purpose", if timeline.facts.outbound { "external" } else { "customer" });
        self.list("sessions", |s| s.object(|s| s.customer_session(timeline, turns)));
    }

    fn customer_session(&mut self, timeline: &Timeline, turns: &[AgentTurn]) {
        let facts = timeline.facts;
        self.session(timeline, facts.medium, timeline.peer);
        match facts.medium {
            Medium::Voice => self.media_stats(timeline, timeline.known_until),
            Medium::Callback => self.callback(timeline),
            Medium::Chat => {
                let visitor = self.rng.uuid();
                self.json.uuid("journeyCustomerId", visitor);
                self.json.text("journeyCustomerIdType", "cookie");
                self.json.uuid("journeyCustomerSessionId", self.rng.uuid());
                self.json.text("journeyCustomerSessionIdType", "web");
            }
            Medium::Email | Medium::Message => {}
        }
        let talked = timeline.known_until - facts.start;
        let mut metrics =
            vec![("nConnected", 1, facts.start), ("tConnected", talked, timeline.known_until)];
        if facts.medium == Medium::Message {
            metrics.push(("oMessageCount", self.rng.between(1, 40), timeline.known_until));
            metrics.push(("oMediaCount", self.rng.between(0, 4), timeline.known_until));
        }
        self.metrics(&metrics);
        self.list("segments", |s| {
            if let Some(until) = timeline.menu_until() {
                s.segment("ivr", facts.start, Some(until), |s| {
                    s.json.numbers("sipResponseCodes", &[200])
                });
            }
            for turn in turns {
                let end = (!turn.open).then_some(turn.left);
                s.segment("interact", turn.queued, end, |s| {
                    if let (true, Some(_)) = (!turn.transferred, end) {
                        let reason = s.rng.pick(&["client", "peer", "endpoint", "peer"]);
                        s.json.text("disconnectType", reason);
                    }
                    if facts.medium == Medium::Email {
                        s.subject();
                    }
                });
            }
        });
    }

    fn callback(&mut self, timeline: &Timeline) {
        self.json.texts("callbackNumbers", &[&timeline.customer_address, "+49 30 90 18 20"]);
        self.json.time("callbackScheduledTime", timeline.facts.start + 5 * MINUTE);
        self.json.text("callbackUserName", timeline.customer);
        self.json.flag("skipEnabled", true);
        self.json.number("timeoutSeconds", 60);
    }

    fn menu(&mut self, timeline: &Timeline, until: i64) {
        let start = timeline.facts.start;
        self.json.uuid("participantId", self.rng.uuid());
        self.json.text("participantName", "Main menu");
        self.json.text("purpose", "ivr");
        self.list("sessions", |s| {
            s.object(|s| {
                let session = s.rng.uuid();
                s.session(timeline, Medium::Voice, session);
                s.json.uuid("peerId", timeline.peer);
                s.flow(start, until);
                let spent = until - start;
                s.metrics(&[
                    ("nFlow", 1, start),
                    ("tIvr", spent, until),
                    ("tFlow", spent, until),
                    ("tFlowOut", spent, until),
                ]);
                s.list("segments", |s| {
                    s.segment("ivr", start, Some(until), |s| {
                        s.json.text("disconnectType", "transfer");
                        s.json.numbers("sipResponseCodes", &[200]);
                    });
                });
            });
        });
    }

    fn queue(&mut self, timeline: &Timeline, turn: &AgentTurn) {
        self.json.uuid("participantId", self.rng.uuid());
        let name = format!("Queue {:02}", turn.queue);
        self.json.text("participantName", &name);
        self.json.text("purpose", "acd");
        self.list("sessions", |s| {
            s.object(|s| {
                let session = s.rng.uuid();
                s.session(timeline, timeline.facts.medium, session);
                s.json.uuid("peerId", timeline.peer);
                if turn.first {
                    s.routing(timeline, turn);
                }
                let waited = turn.alerted - turn.queued;
                let outcome = if timeline.facts.abandoned { "tAbandon" } else { "tAnswered" };
                s.metrics(&[
                    ("nOffered", 1, turn.queued),
                    (outcome, waited, turn.alerted),
                    ("tAcd", waited, turn.alerted),
                    ("nOverSla", i64::from(waited > 20_000), turn.alerted),
                ]);
                s.list("segments", |s| s.waiting(timeline, turn));
            });
        });
    }

    fn routing(&mut self, timeline: &Timeline, turn: &AgentTurn) {
        let skills = [0, 1, 2].map(|_| self.rng.below(40)).map(|n| self.id(Pool::Skill, n));
        self.json.uuids("activeSkillIds", &skills[..1 + usize::from(self.rng.permille(500))]);
        let eligible = [0, 0, 0].map(|_| self.rng.between(0, 30));
        self.json.numbers("eligibleAgentCounts", &eligible);
        self.json.texts("requestedRoutings", &["Preferred", "Standard"]);
        self.json.number("routingRing", self.rng.between(1, 4));
        self.json.numbers("waitingInteractionCounts", &eligible.map(|n| n / 2));
        if !timeline.facts.abandoned {
            self.json.uuid("selectedAgentId", self.id(Pool::Agent, turn.agent));
            self.json.number("selectedAgentRank", 1);
            self.json.text("usedRouting", self.rng.pick(&["Standard", "Preferred", "Standard"]));
        }
        if self.rng.permille(200) {
            self.list("agentGroups", |s| {
                s.object(|s| {
                    s.json.uuid("agentGroupId", s.id(Pool::Group, 1));
                    s.json.text("agentGroupType", "SkillGroup");
                });
            });
        }
        if self.rng.permille(250) || timeline.facts.abandoned {
            self.list("proposedAgents", |s| {
                for rank in 1..3 {
                    let agent = s.rng.below(60);
                    s.object(|s| {
                        s.json.number("agentRank", rank);
                        s.json.uuid("proposedAgentId", s.id(Pool::Agent, agent));
                    });
                }
            });
        }
    }

    fn waiting(&mut self, timeline: &Timeline, turn: &AgentTurn) {
        let reason = if timeline.facts.abandoned { "peer" } else { "transfer" };
        self.segment("interact", turn.queued, Some(turn.alerted), |s| {
            s.json.text("disconnectType", reason);
            s.json.uuid("queueId", s.id(Pool::Queue, turn.queue.into()));
            if !turn.first {
                return;
            }
            let (language, skill) = (s.rng.below(5), s.rng.below(40));
            s.json.uuid("requestedLanguageId", s.id(Pool::Language, language));
            s.json.uuids("requestedRoutingSkillIds", &[s.id(Pool::Skill, skill)]);
            if s.rng.permille(150) {
                s.list("scoredAgents", |s| {
                    s.object(|s| {
                        s.json.number("agentScore", s.rng.between(1, 100));
                        s.json.uuid("scoredAgentId", s.id(Pool::Agent, turn.agent));
                    });
                });
            }
        });
    }
}
