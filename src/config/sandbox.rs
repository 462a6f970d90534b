//! `[sandbox]`: what the embedded simulator is like.

use serde::Deserialize;

use super::{
    environment::Environment,
    layers::{ConfigError, Layers},
    values::{Length, Offset, Text, positive},
};
use crate::sandbox;

/// The section as typed.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SandboxSection {
    port: u16,
    pub seed: u64,
    pub conversations_per_day: u32,
    token_lifetime: Length,
    requests: u32,
    per: Length,
    max_tokens: u32,
    client_secret: Option<Text>,
    refresh_tokens: bool,
    revoke_every: Length,
    clock_skew: Offset,
    deny: Vec<String>,
    throttle_every: u32,
    fail_every: u32,
}

impl SandboxSection {
    /// The simulator's settings.
    pub fn check(&self, at: &Layers) -> Result<sandbox::Settings, ConfigError> {
        let client_secret = match &self.client_secret {
            Some(text) => Some(Environment::read()?.text(text, "sandbox.client_secret", at)?),
            None => None,
        };
        Ok(sandbox::Settings {
            port: self.port,
            seed: self.seed,
            conversations_per_day: self.conversations_per_day,
            token_lifetime: positive(self.token_lifetime, "sandbox.token_lifetime", at)?,
            requests: self.requests,
            per: positive(self.per, "sandbox.per", at)?,
            max_tokens: self.max_tokens,
            client_secret,
            refresh_tokens: self.refresh_tokens,
            revoke_every: self.revoke_every.0,
            clock_skew: self.clock_skew.0,
            deny: self.deny.clone(),
            throttle_every: self.throttle_every,
            fail_every: self.fail_every,
        })
    }
}
