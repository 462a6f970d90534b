//! Hides personal data before anything is written: `[privacy]`.
//!
//! A [`Policy`] says what happens to the columns of one dataset: values are dropped, replaced by
//! their keyed hash, or masked. It is a pure function from batch to batch, which the decoder calls
//! for the rows of responses; rows that come from committed files have been through it already.
//! Start reading at [`Policy::apply`]; `rules` turns paths into what happens to each column, `hide`
//! changes arrays, `extra` the raw JSON of values that fit no column.

mod action;
mod extra;
mod hash_key;
mod hide;
mod policy;
mod rules;
#[cfg(test)]
mod tests;

pub(crate) use self::{
    action::Action,
    hash_key::{HashKey, SHORTEST_KEY},
    policy::{Policies, Policy, PolicySettings},
    rules::{Rule, RuleError},
};
