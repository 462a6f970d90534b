//! Who takes part in a conversation: the customer, the menu, the queues, the agents.

use crate::sandbox::{
    genesys::{
        attributes::AttributeSource,
        records::Medium,
        renderer::{Renderer, Timeline, TimelineSession},
    },
    rng::Pool,
};

const MINUTE: i64 = 60_000;

impl Renderer {
    pub(crate) fn participants(&mut self, story: &Timeline, legs: &[TimelineSession]) {
        let mut attributes = AttributeSource::of(&story.facts, self.seed);
        let mut party = |s: &mut Self, write: &dyn Fn(&mut Self)| {
            s.object(|s| {
                write(s);
                if s.tells_attributes {
                    attributes.write(s);
                }
            });
        };
        party(self, &|s| s.customer(story, legs));
        if let Some(until) = story.menu_until() {
            party(self, &|s| s.menu(story, until));
        }
        for leg in legs {
            if !story.facts.outbound {
                party(self, &|s| s.queue(story, leg));
            }
            if !story.facts.abandoned {
                party(self, &|s| s.agent(story, leg));
            }
        }
    }

    fn customer(&mut self, story: &Timeline, legs: &[TimelineSession]) {
        if self.rng.permille(400) {
            let contact = self.rng.below(20_000);
            self.json.uuid("externalContactId", self.id(Pool::Contact, contact));
        }
        self.json.uuid("participantId", self.rng.uuid());
        self.json.text("participantName", story.customer);
        self.json.text("purpose", if story.facts.outbound { "external" } else { "customer" });
        self.list("sessions", |s| s.object(|s| s.customer_session(story, legs)));
    }

    fn customer_session(&mut self, story: &Timeline, legs: &[TimelineSession]) {
        let facts = story.facts;
        self.session(story, facts.medium, story.peer);
        match facts.medium {
            Medium::Voice => self.media_stats(story, story.told_until),
            Medium::Callback => self.callback(story),
            Medium::Chat => {
                let visitor = self.rng.uuid();
                self.json.uuid("journeyCustomerId", visitor);
                self.json.text("journeyCustomerIdType", "cookie");
                self.json.uuid("journeyCustomerSessionId", self.rng.uuid());
                self.json.text("journeyCustomerSessionIdType", "web");
            }
            Medium::Email | Medium::Message => {}
        }
        let talked = story.told_until - facts.start;
        let mut metrics =
            vec![("nConnected", 1, facts.start), ("tConnected", talked, story.told_until)];
        if facts.medium == Medium::Message {
            metrics.push(("oMessageCount", self.rng.between(1, 40), story.told_until));
            metrics.push(("oMediaCount", self.rng.between(0, 4), story.told_until));
        }
        self.metrics(&metrics);
        self.list("segments", |s| {
            if let Some(until) = story.menu_until() {
                s.segment("ivr", facts.start, Some(until), |s| {
                    s.json.numbers("sipResponseCodes", &[200])
                });
            }
            for leg in legs {
                let talking = (!leg.open).then_some(leg.left);
                s.segment("interact", leg.queued, talking, |s| {
                    if let (true, Some(_)) = (!leg.transferred, talking) {
                        let how = s.rng.pick(&["client", "peer", "endpoint", "peer"]);
                        s.json.text("disconnectType", how);
                    }
                    if facts.medium == Medium::Email {
                        s.subject();
                    }
                });
            }
        });
    }

    fn callback(&mut self, story: &Timeline) {
        self.json.texts("callbackNumbers", &[&story.theirs, "+49 30 90 18 20"]);
        self.json.time("callbackScheduledTime", story.facts.start + 5 * MINUTE);
        self.json.text("callbackUserName", story.customer);
        self.json.flag("skipEnabled", true);
        self.json.number("timeoutSeconds", 60);
    }

    fn menu(&mut self, story: &Timeline, until: i64) {
        let start = story.facts.start;
        self.json.uuid("participantId", self.rng.uuid());
        self.json.text("participantName", "Main menu");
        self.json.text("purpose", "ivr");
        self.list("sessions", |s| {
            s.object(|s| {
                let session = s.rng.uuid();
                s.session(story, Medium::Voice, session);
                s.json.uuid("peerId", story.peer);
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

    fn queue(&mut self, story: &Timeline, leg: &TimelineSession) {
        self.json.uuid("participantId", self.rng.uuid());
        let name = format!("Queue {:02}", leg.queue);
        self.json.text("participantName", &name);
        self.json.text("purpose", "acd");
        self.list("sessions", |s| {
            s.object(|s| {
                let session = s.rng.uuid();
                s.session(story, story.facts.medium, session);
                s.json.uuid("peerId", story.peer);
                if leg.first {
                    s.routing(story, leg);
                }
                let waited = leg.alerted - leg.queued;
                let outcome = if story.facts.abandoned { "tAbandon" } else { "tAnswered" };
                s.metrics(&[
                    ("nOffered", 1, leg.queued),
                    (outcome, waited, leg.alerted),
                    ("tAcd", waited, leg.alerted),
                    ("nOverSla", i64::from(waited > 20_000), leg.alerted),
                ]);
                s.list("segments", |s| s.waiting(story, leg));
            });
        });
    }

    fn routing(&mut self, story: &Timeline, leg: &TimelineSession) {
        let skills = [0, 1, 2].map(|_| self.rng.below(40)).map(|n| self.id(Pool::Skill, n));
        self.json.uuids("activeSkillIds", &skills[..1 + usize::from(self.rng.permille(500))]);
        let eligible = [0, 0, 0].map(|_| self.rng.between(0, 30));
        self.json.numbers("eligibleAgentCounts", &eligible);
        self.json.texts("requestedRoutings", &["Preferred", "Standard"]);
        self.json.number("routingRing", self.rng.between(1, 4));
        self.json.numbers("waitingInteractionCounts", &eligible.map(|n| n / 2));
        if !story.facts.abandoned {
            self.json.uuid("selectedAgentId", self.id(Pool::Agent, leg.agent));
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
        if self.rng.permille(250) || story.facts.abandoned {
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

    fn waiting(&mut self, story: &Timeline, leg: &TimelineSession) {
        let how = if story.facts.abandoned { "peer" } else { "transfer" };
        self.segment("interact", leg.queued, Some(leg.alerted), |s| {
            s.json.text("disconnectType", how);
            s.json.uuid("queueId", s.id(Pool::Queue, leg.queue.into()));
            if !leg.first {
                return;
            }
            let (language, skill) = (s.rng.below(5), s.rng.below(40));
            s.json.uuid("requestedLanguageId", s.id(Pool::Language, language));
            s.json.uuids("requestedRoutingSkillIds", &[s.id(Pool::Skill, skill)]);
            if s.rng.permille(150) {
                s.list("scoredAgents", |s| {
                    s.object(|s| {
                        s.json.number("agentScore", s.rng.between(1, 100));
                        s.json.uuid("scoredAgentId", s.id(Pool::Agent, leg.agent));
                    });
                });
            }
        });
    }
}
