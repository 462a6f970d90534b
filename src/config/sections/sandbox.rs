//! `[sandbox]`: the behaviour of the simulator.

use std::time::Duration;

use serde::Deserialize;

use crate::{
    config::{
        layers::{ConfigError, Layers, environment::EnvironmentVariables},
        values::{
            DurationText, SignedDurationText, TextSource, invalid_time, parse_time, positive,
        },
    },
    sandbox::{
        self,
        behaviors::{self, Behavior, BehaviorKind},
    },
};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SandboxSection {
    port: u16,
    pub seed: u64,
    pub conversations_per_day: u32,
    token_lifetime: DurationText,
    requests: u32,
    per: DurationText,
    window: WindowForm,
    limit_changes: Vec<LimitChange>,
    eaten: u32,
    latency: LatencyTable,
    max_tokens: u32,
    client_secret: Option<TextSource>,
    refresh_tokens: bool,
    revoke_every: DurationText,
    clock_skew: SignedDurationText,
    deny: Vec<String>,
    throttle_every: u32,
    fail_every: u32,
    jobs: JobsTable,
    drift: bool,
    skew: bool,
    odd: Vec<String>,
    hostile: Vec<String>,
}

/// Which requests count against `requests`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum WindowForm {
    Fixed,
    Sliding,
}

/// A new value of `requests` from `after` the start on.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct LimitChange {
    after: DurationText,
    requests: u32,
}

/// How long responses take. A key that is not given is zero.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct LatencyTable {
    base: Option<DurationText>,
    jitter: Option<DurationText>,
    capacity: u32,
    steps: Vec<LatencyStep>,
}

/// A new value of `base` from `after` the start on.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct LatencyStep {
    after: DurationText,
    base: DurationText,
}

/// How asynchronous jobs behave. The defaults of the keys are those of `sandbox::JobSettings`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct JobsTable {
    queued: Option<DurationText>,
    running: Option<DurationText>,
    kept: Option<DurationText>,
    fail_every: Option<u32>,
    expire_every: Option<u32>,
    concurrent: Option<u32>,
    per_second: Option<u32>,
    page_size: Option<u32>,
    available_until: Option<String>,
}

impl SandboxSection {
    pub(crate) fn check(&self, layers: &Layers) -> Result<sandbox::Settings, ConfigError> {
        let client_secret = match &self.client_secret {
            Some(text) => {
                Some(EnvironmentVariables::read()?.text(text, "sandbox.client_secret", layers)?)
            }
            None => None,
        };
        Ok(sandbox::Settings {
            port: self.port,
            seed: self.seed,
            conversations_per_day: self.conversations_per_day,
            token_lifetime: positive(self.token_lifetime, "sandbox.token_lifetime", layers)?,
            requests: self.requests,
            per: positive(self.per, "sandbox.per", layers)?,
            window_slides: self.window == WindowForm::Sliding,
            limit_changes: self.limit_changes(layers)?,
            foreign_requests: self.eaten,
            latency: self.latency.check(layers)?,
            max_tokens: self.max_tokens,
            client_secret,
            refresh_tokens: self.refresh_tokens,
            revoke_every: self.revoke_every.0,
            clock_skew: self.clock_skew.0,
            deny: self.deny.clone(),
            throttle_every: self.throttle_every,
            fail_every: self.fail_every,
            jobs: self.jobs.check(layers)?,
            drift: self.drift,
            skew: self.skew,
            behaviors: self.behaviors(layers)?,
        })
    }

    /// The behaviours that `odd` and `hostile` name.
    fn behaviors(&self, layers: &Layers) -> Result<Vec<&'static Behavior>, ConfigError> {
        let mut found = Vec::new();
        for (key, kind, names) in [
            ("sandbox.odd", BehaviorKind::Odd, &self.odd),
            ("sandbox.hostile", BehaviorKind::Hostile, &self.hostile),
        ] {
            for name in names {
                let behavior = behaviors::find(kind, name).ok_or_else(|| {
                    layers.error(key, format!("unknown name `{name}`: {}", known_names(kind)))
                })?;
                found.push(behavior);
            }
        }
        Ok(found)
    }

    fn limit_changes(&self, layers: &Layers) -> Result<Vec<(Duration, u32)>, ConfigError> {
        let changes =
            self.limit_changes.iter().map(|change| (change.after.0, change.requests)).collect();
        in_order(changes, "sandbox.limit_changes", layers)
    }
}

impl LatencyTable {
    fn check(&self, layers: &Layers) -> Result<sandbox::Latency, ConfigError> {
        let duration = |given: Option<DurationText>| given.map_or(Duration::ZERO, |given| given.0);
        let steps = self.steps.iter().map(|step| (step.after.0, step.base.0)).collect();
        Ok(sandbox::Latency {
            base: duration(self.base),
            jitter: duration(self.jitter),
            steps: in_order(steps, "sandbox.latency.steps", layers)?,
            capacity: self.capacity,
        })
    }
}

impl JobsTable {
    fn check(&self, layers: &Layers) -> Result<sandbox::JobSettings, ConfigError> {
        let defaults = sandbox::JobSettings::default();
        let duration = |given: Option<DurationText>, default: Duration| {
            given.map_or(default, |duration| duration.0)
        };
        let available_until = self.available_until.as_deref().map(|text| {
            parse_time(text)
                .ok_or_else(|| layers.error("sandbox.jobs.available_until", invalid_time(text)))
        });
        if self.page_size == Some(0) {
            return Err(layers.error("sandbox.jobs.page_size", "must be at least 1"));
        }
        Ok(sandbox::JobSettings {
            queued: duration(self.queued, defaults.queued),
            running: duration(self.running, defaults.running),
            kept: duration(self.kept, defaults.kept),
            fail_every: self.fail_every.unwrap_or(defaults.fail_every),
            expire_every: self.expire_every.unwrap_or(defaults.expire_every),
            concurrent: self.concurrent.unwrap_or(defaults.concurrent),
            per_second: self.per_second.unwrap_or(defaults.per_second),
            page_size: self.page_size.unwrap_or(defaults.page_size),
            available_until: available_until.transpose()?,
        })
    }
}

/// The names of all behaviours of a kind.
fn known_names(kind: BehaviorKind) -> String {
    let names: Vec<_> = behaviors::all()
        .filter(|behavior| behavior.kind == kind)
        .map(|behavior| behavior.name)
        .collect();
    format!("the known ones are {}", names.join(", "))
}

/// Checks that each step is later than the one before.
fn in_order<T>(
    steps: Vec<(Duration, T)>,
    key: &str,
    layers: &Layers,
) -> Result<Vec<(Duration, T)>, ConfigError> {
    if steps.is_sorted_by_key(|(after, _)| *after) {
        Ok(steps)
    } else {
        Err(layers.error(key, "the steps are not in order: sort them by `after`"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Overrides, load_sandbox};

    fn load(set: &[&str]) -> Result<sandbox::Settings, String> {
        let overrides = Overrides {
            set: set.iter().map(|&set| set.to_owned()).collect(),
            ..Overrides::default()
        };
        load_sandbox(&overrides).map_err(|error| error.to_string())
    }

    #[test]
    fn the_defaults_are_those_of_the_simulator() {
        let (from_file, defaults) = (load(&[]).unwrap(), sandbox::Settings::default());
        assert_eq!(format!("{from_file:?}"), format!("{defaults:?}"));
    }

    #[test]
    fn limits_latencies_and_jobs_are_read_from_their_tables() {
        let settings = load(&[
            "sandbox.limit_changes=[{ after = \"1m\", requests = 100 }, { after = \"2m\", requests = 400 }]",
            "sandbox.latency={ base = \"20ms\", capacity = 4, steps = [{ after = \"1m\", base = \"1s\" }] }",
            "sandbox.jobs={ fail_every = 3, available_until = \"2024-01-05T00:00:00Z\" }",
        ])
        .unwrap();
        let second = Duration::from_secs(1);
        assert_eq!(settings.limit_changes, [(60 * second, 100), (120 * second, 400)]);
        assert_eq!((settings.latency.base, settings.latency.capacity), (second / 50, 4));
        assert_eq!(settings.latency.steps, [(60 * second, second)]);
        let available_until = "2024-01-05T00:00:00Z".parse().ok();
        assert_eq!(
            settings.jobs,
            sandbox::JobSettings {
                fail_every: 3,
                available_until,
                ..sandbox::JobSettings::default()
            }
        );
    }

    #[test]
    fn an_error_in_a_table_names_the_key() {
        for (set, key) in [
            (
                "sandbox.limit_changes=[{ after = \"2m\", requests = 1 }, { after = \"1m\", requests = 2 }]",
                "sandbox.limit_changes",
            ),
            ("sandbox.latency.speed=1", "sandbox.latency.speed"),
            ("sandbox.jobs.page_size=0", "sandbox.jobs.page_size"),
            ("sandbox.jobs.available_until=soon", "sandbox.jobs.available_until"),
        ] {
            let message = load(&[set]).unwrap_err();
            assert!(message.contains(&format!("{key}: ")), "{set}: {message}");
        }
    }
}
