//! When what happened in a conversation: what the parts of its record have to agree on.

use crate::sandbox::{
    genesys::{
        conversations::records::{Facts, Medium},
        renderer::{AGENTS, NAMES},
    },
    rng::{Rng, Uuid},
};

pub(super) const MINUTE: i64 = 60_000;

/// What the parts of one record have to agree on.
pub(super) struct Timeline {
    pub(super) facts: Facts,
    /// Its end or, while it is live, the time up to which the record describes it.
    pub(super) known_until: i64,
    /// The lowest mean opinion score of its calls.
    pub(super) mos: f64,
    pub(super) customer: &'static str,
    /// The customer's telephone number or e-mail address.
    pub(super) customer_address: String,
    /// The organisation's telephone number or e-mail address.
    pub(super) own_address: String,
    /// The session of the customer, which is the peer of the other sessions.
    pub(super) peer: Uuid,
}

/// The part of one agent: waiting in a queue, ringing, talking, wrapping up.
#[derive(Clone, Copy)]
pub(super) struct AgentTurn {
    pub(super) queue: u8,
    pub(super) agent: u64,
    pub(super) queued: i64,
    pub(super) alerted: i64,
    pub(super) answered: i64,
    pub(super) wrapped: i64,
    pub(super) left: i64,
    pub(super) first: bool,
    /// Whether the conversation goes on with another agent.
    pub(super) transferred: bool,
    /// Whether the agent is still talking: the end of the talk and the wrap-up are not known yet.
    pub(super) open: bool,
}

impl Timeline {
    pub(super) fn new(facts: Facts, rng: &mut Rng) -> Self {
        let customer = rng.pick(&NAMES);
        let (customer_address, own_address) = if facts.medium == Medium::Email {
            (
                format!("kunde{}@example.com", rng.below(100_000)),
                format!("service{}@example.org", rng.below(5)),
            )
        } else {
            (
                format!("tel:+4930{:07}", rng.below(10_000_000)),
                format!("tel:+498000{:03}", rng.below(20)),
            )
        };
        Self {
            known_until: facts.end.unwrap_or(facts.start + rng.between(5 * MINUTE, 50 * MINUTE)),
            // the platform stores it as a 32-bit float, hence the many digits
            mos: f64::from(
                f32::from(u16::try_from(rng.between(31_000, 49_200)).unwrap_or(0)) / 10_000.0,
            ),
            customer,
            customer_address,
            own_address,
            peer: rng.uuid(),
            facts,
        }
    }

    pub(crate) fn on_the_phone(&self) -> bool {
        matches!(self.facts.medium, Medium::Voice | Medium::Callback)
    }

    pub(crate) fn direction(&self) -> &'static str {
        if self.facts.outbound { "outbound" } else { "inbound" }
    }

    /// Until when the caller listens to the menu: inbound calls meet one first.
    pub(crate) fn menu_until(&self) -> Option<i64> {
        let length_so_far = self.known_until - self.facts.start;
        (self.facts.medium == Medium::Voice && !self.facts.outbound)
            .then(|| self.facts.start + (length_so_far / 6).min(3 * MINUTE / 2))
    }

    /// The turns of its agents, one after the other, from the menu to the end.
    pub(super) fn turns(&self, seed: u64) -> Vec<AgentTurn> {
        let from = self.menu_until().unwrap_or(self.facts.start);
        let count = i64::from(self.facts.turns);
        let length = (self.known_until - from) / count;
        let mut rng =
            Rng::new([seed, self.facts.start.cast_unsigned(), self.facts.number.into(), 3]);
        (0..count)
            .zip(self.facts.queues())
            .map(|(index, &queue)| {
                let last = index + 1 == count;
                let queued = from + index * length;
                let left = if last { self.known_until } else { queued + length };
                // an outbound call waits in no queue; an abandoned one does nothing else
                let alerted = match self.facts {
                    Facts { outbound: true, .. } => queued,
                    Facts { abandoned: true, .. } => left,
                    _ => queued + (length / 5).min(rng.between(2_000, 6 * MINUTE)),
                };
                let answered = alerted + ((left - alerted) / 8).min(rng.between(1_200, 15_000));
                let wrapped = left - ((left - answered) / 5).min(rng.between(3_000, 3 * MINUTE));
                let open = last && self.facts.end.is_none();
                AgentTurn {
                    queue,
                    agent: rng.below(AGENTS),
                    queued,
                    alerted,
                    answered,
                    wrapped,
                    left,
                    first: index == 0,
                    transferred: !last,
                    open,
                }
            })
            .collect()
    }
}

/// The R-factor that corresponds to a mean opinion score, approximately.
pub(super) fn r_factor(mos: f64) -> f64 {
    mos * 17.391_304_347_826_086 + 7.2
}
