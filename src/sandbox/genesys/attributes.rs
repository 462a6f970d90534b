//! What flows and scripts write down about participants: told by jobs alone.

use crate::sandbox::{
    genesys::{
        records::Facts,
        renderer::{NAMES, Scribe},
    },
    rng::Dice,
};

/// The longest key or value, in characters: the platform cuts them there.
const LONGEST: usize = 1024;
/// Keys as people make them: spaces, dots, leading digits, trailing blanks, other scripts.
const KEYS: [&str; 11] = [
    "CustomerTier",
    "customer tier",
    "Customer.Tier",
    "2nd choice",
    "trailing blank ",
    "context.genesys.legacyRoutingTargetQueueAddress",
    "scheduleGroup",
    "Kundennummer",
    "お客様番号",
    "\\\"quoted\\\"",
    "survey/opt-in",
];

/// The attributes of a conversation's participants, one after the other.
pub(super) struct Attributes(Dice);

impl Attributes {
    pub(super) fn of(facts: &Facts, seed: u64) -> Self {
        Self(facts.attribute_dice(seed))
    }

    /// Writes those of the next participant: three in ten have none, and no key about it.
    pub(super) fn write(&mut self, scribe: &mut Scribe) {
        let Self(dice) = self;
        if dice.permille(300) {
            return;
        }
        let (first, count) = (dice.below(KEYS.len() as u64) as usize, dice.below(6) as usize);
        scribe.json.open_field("attributes", b'{');
        for key in KEYS.iter().cycle().skip(first).take(count) {
            let value = match dice.below(20) {
                0 => String::new(),
                1 => "0".repeat(LONGEST),
                2..=6 => dice.pick(&NAMES).to_owned(),
                7..=10 => {
                    dice.pick(&["true", "false", "null", "{\\\"a\\\": 1}", "  ", "1e3"]).to_owned()
                }
                _ => format!("{:08}", dice.below(100_000_000)),
            };
            scribe.json.text(key, &value);
        }
        scribe.json.close(b'}');
    }
}
