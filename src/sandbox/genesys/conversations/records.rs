//! The conversations of an organisation: when they begin and end, and the values that filters
//! compare.
//!
//! Conversation `number` of a day is a pure function of (seed, day, number), and those of a day are
//! sorted by start by construction. So any page of any day is computed without stored state.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};

use crate::sandbox::{
    rng::{Rng, Uuid},
    time::{DAY_MS, LAST_DAY, TimeRange},
};

/// How many days are cached: queries that alternate over two months compute each day once.
const DAYS_CACHED: usize = 64;
/// Queues of the organisation.
pub(crate) const QUEUES: u8 = 24;
/// The relative load of each hour of a UTC day: low at night, with two peaks by day.
const HOURS: [f64; 24] = [
    6.0, 4.0, 3.0, 3.0, 4.0, 8.0, 20.0, 45.0, 80.0, 110.0, 120.0, 115.0, 90.0, 95.0, 110.0, 115.0,
    105.0, 85.0, 60.0, 42.0, 30.0, 22.0, 14.0, 9.0,
];
const MINUTE: i64 = 60_000;

/// The medium of a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Medium {
    Voice,
    Callback,
    Chat,
    Email,
    Message,
}

impl Medium {
    /// The names that the platform gives the variants, in their order.
    pub(crate) const NAMES: [&str; 5] = ["voice", "callback", "chat", "email", "message"];

    pub(crate) fn name(self) -> &'static str {
        Self::NAMES[self as usize]
    }
}

/// The properties of a conversation that counting and filtering need, without its record.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Facts {
    /// Its number among the conversations of its day.
    pub(crate) number: u32,
    /// In milliseconds since 1970, like `end`.
    pub(crate) start: i64,
    /// `None` while it is live.
    pub(crate) end: Option<i64>,
    pub(crate) medium: Medium,
    pub(crate) outbound: bool,
    /// Whether the caller hung up before an agent answered.
    pub(crate) abandoned: bool,
    /// The queues it passed through, one per agent: the first `turns` of these.
    pub(crate) queues: [u8; 2],
    pub(crate) turns: u8,
}

/// How conversations differ from the usual ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Variation {
    /// Their fields drift: see [`drift`](crate::sandbox::drift).
    pub(crate) drift: bool,
    /// Their sizes and values are spread unevenly: see [`skew`](super::skew).
    pub(crate) skew: bool,
}

/// What a filter can compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dimension {
    MediaType,
    OriginatingDirection,
    QueueId,
}

impl Facts {
    fn of(seed: u64, day: i64, number: u32, of: u32) -> Self {
        let mut rng = rng_of(seed, day, number, 0);
        // the first of a day begins on its first millisecond, to catch off-by-one errors
        let jitter = if number == 0 { 0.0 } else { rng.fraction() };
        let start = day * DAY_MS + time_of_day((f64::from(number) + jitter) / f64::from(of));
        let medium = match rng.below(100) {
            0..55 => Medium::Voice,
            55..63 => Medium::Callback,
            63..72 => Medium::Chat,
            72..85 => Medium::Email,
            _ => Medium::Message,
        };
        let outbound = rng.permille(match medium {
            Medium::Voice => 200,
            Medium::Email | Medium::Message => 100,
            Medium::Callback | Medium::Chat => 0,
        });
        let turns = if outbound || rng.permille(800) { 1 } else { 2 };
        let queues = [(); 2].map(|()| u8::try_from(rng.below(QUEUES.into())).unwrap_or(0));
        let abandoned = medium == Medium::Voice && !outbound && turns == 1 && rng.permille(80);
        let end = (!rng.permille(5)).then(|| start + duration(&mut rng, medium, abandoned));
        let abandoned = abandoned && end.is_some();
        Self { number, start, end, medium, outbound, abandoned, queues, turns }
    }

    /// The random numbers of its record.
    pub(crate) fn rng(&self, seed: u64) -> Rng {
        rng_of(seed, self.start.div_euclid(DAY_MS), self.number, 1)
    }

    /// The random numbers of its drift.
    pub(super) fn drift_rng(&self, seed: u64) -> Rng {
        rng_of(seed, self.start.div_euclid(DAY_MS), self.number, 0xd21f)
    }

    /// The random numbers of its skew.
    pub(super) fn skew_rng(&self, seed: u64) -> Rng {
        rng_of(seed, self.start.div_euclid(DAY_MS), self.number, 0x53e)
    }

    /// Its id. It begins with the scrambled day and number, so that an id can be looked up.
    pub(crate) fn id(&self, seed: u64) -> Uuid {
        let day = self.start.div_euclid(DAY_MS);
        let place = day.cast_unsigned() << NUMBER_BITS | u64::from(self.number);
        rng_of(seed, day, self.number, 2).uuid().beginning_with(scramble(seed, place))
    }

    /// The random numbers of its attributes: separate, since only some replies have them.
    pub(crate) fn attribute_rng(&self, seed: u64) -> Rng {
        rng_of(seed, self.start.div_euclid(DAY_MS), self.number, 4)
    }

    pub(crate) fn queues(&self) -> &[u8] {
        &self.queues[..usize::from(self.turns)]
    }

    /// Whether its lifetime `[start, end)` overlaps `interval`. A live one has no end.
    pub(crate) fn overlaps(&self, interval: TimeRange) -> bool {
        self.start < interval.to && self.end.is_none_or(|end| end > interval.from)
    }

    /// The values it has in a dimension, as a bit set.
    pub(crate) fn values(&self, dimension: Dimension) -> u32 {
        match dimension {
            // a callback has a call session as well
            Dimension::MediaType if self.medium == Medium::Callback => 0b11,
            Dimension::MediaType => 1 << self.medium as u32,
            Dimension::OriginatingDirection => 1 << u32::from(self.outbound),
            Dimension::QueueId => self.queues().iter().fold(0, |bits, queue| bits | 1 << queue),
        }
    }
}

fn rng_of(seed: u64, day: i64, number: u32, purpose: u64) -> Rng {
    Rng::new([seed, day.cast_unsigned(), number.into(), purpose])
}

/// The bits of a conversation's number in the first 48 bits of its id; the others are its day.
const NUMBER_BITS: u32 = 26;
const ID_BITS: u64 = (1 << 48) - 1;
/// An odd number, and its inverse modulo 2⁴⁸.
const FACTOR: u64 = 0x9e37_79b9_7f4b;
const INVERSE: u64 = inverse(FACTOR);

const fn inverse(odd: u64) -> u64 {
    // Newton's iteration doubles the correct bits, of which there are three at first
    let (mut inverse, mut step) = (odd, 0);
    while step < 5 {
        inverse = inverse.wrapping_mul(2u64.wrapping_sub(odd.wrapping_mul(inverse)));
        step += 1;
    }
    inverse & ID_BITS
}

/// A permutation of the numbers below 2⁴⁸.
fn scramble(seed: u64, place: u64) -> u64 {
    let mixed = (place ^ seed) & ID_BITS;
    let mixed = mixed.wrapping_mul(FACTOR) & ID_BITS;
    (mixed ^ mixed >> 24).wrapping_mul(FACTOR) & ID_BITS
}

/// The inverse of [`scramble`].
fn unscramble(seed: u64, bits: u64) -> u64 {
    let mixed = bits.wrapping_mul(INVERSE) & ID_BITS;
    let mixed = (mixed ^ mixed >> 24).wrapping_mul(INVERSE) & ID_BITS;
    (mixed ^ seed) & ID_BITS
}

/// The millisecond of the day by which the given share of its conversations have begun.
fn time_of_day(share: f64) -> i64 {
    let mut rest = share * HOURS.iter().sum::<f64>();
    let mut hour_ms = 0;
    for busy in HOURS {
        if rest < busy {
            return hour_ms + (rest / busy * 3_600_000.0) as i64;
        }
        rest -= busy;
        hour_ms += 3_600_000;
    }
    DAY_MS - 1
}

/// How long a conversation lasts in milliseconds: one in two hundred lasts for days.
fn duration(rng: &mut Rng, medium: Medium, abandoned: bool) -> i64 {
    let (least, most) = match medium {
        _ if abandoned => (MINUTE / 3, 6 * MINUTE),
        _ if rng.permille(5) => (DAY_MS, 60 * DAY_MS),
        Medium::Voice => (MINUTE, 45 * MINUTE),
        Medium::Callback => (10 * MINUTE, 8 * 60 * MINUTE),
        Medium::Chat => (2 * MINUTE, 60 * MINUTE),
        Medium::Email | Medium::Message => (5 * MINUTE, 20 * 60 * MINUTE),
    };
    least + (rng.fraction().powi(3) * (most - least) as f64) as i64
}

/// All conversations of an organisation.
#[derive(Debug)]
pub(crate) struct Records {
    pub(crate) seed: u64,
    a_day: u32,
    /// How their rows differ from the usual ones.
    pub(crate) variation: Variation,
    /// Cache of the days used last, the most recent at the back, so that a page does not
    /// compute its whole day again.
    cache: Mutex<VecDeque<(i64, Arc<[Facts]>)>>,
}

impl Records {
    pub(crate) fn new(seed: u64, a_day: u32) -> Self {
        Self { seed, a_day, variation: Variation::default(), cache: Mutex::default() }
    }

    /// The conversations that began on a day (counted from 1970), by start. Empty before 1970.
    pub(crate) fn day(&self, day: i64) -> Arc<[Facts]> {
        if !(0..=LAST_DAY).contains(&day) {
            return Arc::default();
        }
        self.cached(day).unwrap_or_else(|| {
            let mut facts: Arc<[_]> =
                (0..self.a_day).map(|i| Facts::of(self.seed, day, i, self.a_day)).collect();
            if self.variation.skew {
                Arc::make_mut(&mut facts).iter_mut().for_each(|facts| facts.queues = [0; 2]);
            }
            let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
            cache.push_back((day, Arc::clone(&facts)));
            if cache.len() > DAYS_CACHED {
                cache.pop_front();
            }
            facts
        })
    }

    /// The conversation with an id. `None` if there is none.
    pub(crate) fn find(&self, id: &str) -> Option<Facts> {
        let place = unscramble(self.seed, Uuid::beginning(id)?);
        let day = self.day(i64::try_from(place >> NUMBER_BITS).ok()?);
        let number = usize::try_from(place & ((1 << NUMBER_BITS) - 1)).ok()?;
        day.get(number).filter(|facts| facts.id(self.seed).to_string() == id).copied()
    }

    /// Takes a day from the cache and marks it as the most recently used.
    fn cached(&self, day: i64) -> Option<Arc<[Facts]>> {
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        let at = cache.iter().position(|(of, _)| *of == day)?;
        let found = cache.remove(at)?;
        let facts = Arc::clone(&found.1);
        cache.push_back(found);
        Some(facts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 19_800;

    #[test]
    fn a_day_is_sorted_by_start_and_busier_at_noon_than_at_night() {
        for a_day in [1, 7, 500, 20_000] {
            let day = Records::new(3, a_day).day(DAY);
            assert_eq!(day.len(), a_day as usize);
            assert!(day.is_sorted_by_key(|facts| facts.start));
            assert!(day.iter().all(|facts| facts.start.div_euclid(DAY_MS) == DAY));
            assert_eq!(day[0].start, DAY * DAY_MS);
        }
        let day = Records::new(3, 500).day(DAY);
        let in_hour = |hour| {
            day.iter().filter(|facts| facts.start.rem_euclid(DAY_MS) / 3_600_000 == hour).count()
        };
        assert!(in_hour(10) > 10 * in_hour(2));
        let ties = Records::new(3, 20_000)
            .day(DAY)
            .windows(2)
            .filter(|pair| pair[0].start == pair[1].start)
            .count();
        assert!(ties < 20, "{ties} ties in 20,000");
    }

    #[test]
    fn a_conversation_is_found_by_its_id() {
        for seed in [0, 1, u64::MAX] {
            let records = Records::new(seed, 300);
            for day in [0, DAY, LAST_DAY] {
                for facts in records.day(day).iter() {
                    assert_eq!(records.find(&facts.id(seed).to_string()), Some(*facts));
                }
            }
            let foreign = Records::new(seed ^ 2, 300).day(DAY)[7].id(seed ^ 2).to_string();
            for unknown in ["", "x", "zzzzzzzz-zzzz", "é1234567-8901", &foreign] {
                assert_eq!(records.find(unknown), None, "{unknown}");
            }
        }
    }

    #[test]
    fn some_conversations_are_live_and_some_last_for_days() {
        let records = Records::new(1, 2_000);
        let all: Vec<_> = (DAY..DAY + 10).flat_map(|day| records.day(day).to_vec()).collect();
        let share = |n: usize| n * 10_000 / all.len();
        let live = share(all.iter().filter(|facts| facts.end.is_none()).count());
        let long =
            share(all.iter().filter(|f| f.end.is_some_and(|end| end - f.start >= DAY_MS)).count());
        assert!((30..70).contains(&live), "{live} in 10,000 are live");
        assert!((30..70).contains(&long), "{long} in 10,000 last a day");
        assert!(all.iter().any(|facts| facts.end.is_some_and(|end| end - facts.start > 1 << 32)));
    }

    #[test]
    fn the_cache_of_days_is_bounded() {
        let records = Records::new(1, 3);
        for day in 0..2 * DAYS_CACHED as i64 {
            records.day(day);
        }
        assert_eq!(records.cache.lock().unwrap().len(), DAYS_CACHED);
        let kept = records.day(100);
        assert!(Arc::ptr_eq(&kept, &records.day(100)));
        assert_eq!(
            records.day(0)[..],
            Records::new(1, 3).day(0)[..],
            "a forgotten day comes back the same"
        );
        assert!(records.day(-1).is_empty() && records.day(LAST_DAY + 1).is_empty());
    }
}
