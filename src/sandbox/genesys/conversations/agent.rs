//! Writes an agent as participant of a conversation: ringing, talking with holds, wrapping up.

use crate::sandbox::{
    genesys::{
        conversations::{
            records::Medium,
            session::Metric,
            timeline::{AgentTurn, Timeline},
        },
        renderer::{NAMES, Renderer},
    },
    rng::{Pool, Uuid},
};

impl Renderer {
    pub(super) fn agent(&mut self, timeline: &Timeline, turn: &AgentTurn) {
        self.json.uuid("participantId", self.rng.uuid());
        self.json.text("participantName", NAMES[turn.agent as usize % NAMES.len()]);
        self.json.text("purpose", "agent");
        self.json.uuid("teamId", self.id(Pool::Team, turn.agent % 6));
        self.json.uuid("userId", self.id(Pool::Agent, turn.agent));
        self.list("sessions", |s| {
            s.object(|s| s.agent_session(timeline, turn, timeline.facts.medium));
            if timeline.facts.medium == Medium::Callback {
                s.object(|s| s.returned_call(timeline, turn));
            }
        });
    }

    fn agent_session(&mut self, timeline: &Timeline, turn: &AgentTurn, medium: Medium) {
        let session = self.rng.uuid();
        self.session(timeline, medium, session);
        self.json.uuid("peerId", timeline.peer);
        if self.rng.permille(300) {
            self.json.uuid("scriptId", self.id(Pool::Form, 200));
        }
        if medium == Medium::Voice && turn.first {
            self.media_stats(timeline, turn.wrapped);
        }
        let pauses = match timeline.facts.turns {
            1 if medium != Medium::Chat => self.rng.pick(&[0, 0, 0, 1, 1, 2]),
            _ => 0,
        };
        let metrics = self.agent_metrics(turn, medium, pauses);
        self.metrics(&metrics);
        self.list("segments", |s| s.agent_segments(timeline, turn, medium, pauses));
    }

    fn agent_metrics(&mut self, turn: &AgentTurn, medium: Medium, pauses: i64) -> Vec<Metric> {
        let talked = turn.wrapped - turn.answered;
        let (paused, pauses_complete) = if medium == Medium::Voice {
            ("tHeld", "tHeldComplete")
        } else {
            ("tPark", "tParkComplete")
        };
        let mut metrics = vec![
            ("tAlert", turn.answered - turn.alerted, turn.answered),
            ("nConnected", 1, turn.answered),
        ];
        // the metric is repeated for every stretch of talk
        let stretch = talked / (2 * pauses + 1);
        for pause in 0..=pauses {
            let until = turn.answered + (2 * pause + 1) * stretch;
            metrics.push(("tTalk", stretch, until));
            if pause < pauses {
                metrics.push((paused, stretch, until + stretch));
            }
        }
        if matches!(medium, Medium::Chat | Medium::Message) {
            for n in 1..=self.rng.between(1, 4) {
                metrics.push((
                    "tAgentResponseTime",
                    self.rng.between(2_000, 90_000),
                    turn.answered + n * 2_000,
                ));
                metrics.push((
                    "tUserResponseTime",
                    self.rng.between(2_000, 90_000),
                    turn.answered + n * 3_000,
                ));
            }
        }
        if !turn.open {
            metrics.push(("tTalkComplete", talked - pauses * stretch, turn.wrapped));
            if pauses > 0 {
                metrics.push((pauses_complete, pauses * stretch, turn.wrapped));
            }
            metrics.push(("tAcw", turn.left - turn.wrapped, turn.left));
            metrics.push(("tHandle", turn.left - turn.answered, turn.left));
        }
        if turn.transferred {
            metrics.push(("nTransferred", 1, turn.wrapped));
            metrics.push(("nBlindTransferred", 1, turn.wrapped));
        }
        metrics
    }

    fn agent_segments(
        &mut self,
        timeline: &Timeline,
        turn: &AgentTurn,
        medium: Medium,
        pauses: i64,
    ) {
        let queue = self.id(Pool::Queue, turn.queue.into());
        let ringing = if timeline.facts.outbound { "dialing" } else { "alert" };
        self.segment(ringing, turn.alerted, Some(turn.answered), |s| s.json.uuid("queueId", queue));
        let pause = if medium == Medium::Voice { "hold" } else { "parked" };
        let stretch = (turn.wrapped - turn.answered) / (2 * pauses + 1);
        for n in 0..=2 * pauses {
            let last = n == 2 * pauses;
            let to = if last { turn.wrapped } else { turn.answered + (n + 1) * stretch };
            let kind = if n % 2 == 0 { "interact" } else { pause };
            self.segment(
                kind,
                turn.answered + n * stretch,
                (!last || !turn.open).then_some(to),
                |s| {
                    s.json.uuid("queueId", queue);
                    if last && medium == Medium::Email {
                        s.subject();
                    }
                    if last && !turn.open {
                        s.json.text(
                            "disconnectType",
                            if turn.transferred { "transfer" } else { "client" },
                        );
                    }
                },
            );
        }
        if !turn.open {
            self.segment("wrapup", turn.wrapped, Some(turn.left), |s| s.wrap_up(queue));
        }
    }

    fn wrap_up(&mut self, queue: Uuid) {
        self.json.uuid("queueId", queue);
        if self.rng.permille(60) {
            self.json.text("wrapUpCode", "ININ-WRAP-UP-TIMEOUT");
        } else {
            let code = self.rng.below(25);
            self.json.uuid("wrapUpCode", self.id(Pool::WrapUp, code));
        }
        if self.rng.permille(300) {
            self.json.text(
                "wrapUpNote",
                self.rng.pick(&[
                    "Kunde zufrieden,\\nruft zurück",
                    "wants \\\"gold\\\" tier",
                    "再連絡",
                ]),
            );
        }
        if self.rng.permille(80) {
            self.json.texts("wrapUpTags", &["billing", "follow-up"]);
        }
    }

    /// The call session of a callback.
    fn returned_call(&mut self, timeline: &Timeline, turn: &AgentTurn) {
        let session = self.rng.uuid();
        self.session(timeline, Medium::Voice, session);
        self.json.uuid("peerId", timeline.peer);
        self.media_stats(timeline, turn.wrapped);
        let (dialled, connected) =
            (turn.answered, turn.answered + (turn.wrapped - turn.answered) / 10);
        self.metrics(&[
            ("nOutbound", 1, dialled),
            ("tDialing", connected - dialled, connected),
            ("nConnected", 1, connected),
        ]);
        self.list("segments", |s| {
            s.segment("dialing", dialled, Some(connected), |s| {
                s.json.numbers("sipResponseCodes", &[183, 200])
            });
            s.segment("interact", connected, (!turn.open).then_some(turn.wrapped), |_| {});
        });
    }
}
