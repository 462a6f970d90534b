//! Whether a run would start: everything that it needs, tried once, and nothing fetched.

use std::{fmt, path::Path, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{
    Method, Request, Response, StatusCode,
    header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, DATE},
};
use jiff::fmt::rfc2822::DateTimeParser;
use object_store::{ObjectStoreExt, path::Path as StorePath};
use secrecy::SecretString;
use serde_json::Value;

use crate::{
    auth::{
        self,
        token::{TokenClient, TokenSource},
    },
    catalog::{self, ApiRequest, Dataset, PlaceholderValues},
    commands::hosts::Hosts,
    config::{Config, Platform},
    exit_code::ExitCode,
    http::{
        error::{ErrorResponse, RequestError, TokenError, header},
        rate_limit::{QuotaKey, RateLimit},
        transport::Transport,
    },
    ledger::{LEDGER, Ledger},
    sink::store::OutputStore,
    telemetry::metrics::Metrics,
    time::{clock, interval::Interval},
};

/// Where the organisation keeps the limits that a backfill meets.
const NAMESPACES: [&str; 2] = ["platform.api", "analytics"];
/// The name of the probe object, which readers of the data do not see.
const PROBE: &str = "_probe";

/// One line.
#[derive(Debug)]
pub(crate) struct Finding {
    /// What was tried.
    pub name: &'static str,
    /// What came of it, good or not.
    pub text: String,
    /// The exit code of a run that meets this; none: a run would start.
    pub code: Option<ExitCode>,
}

impl Finding {
    fn good(name: &'static str, text: impl Into<String>) -> Self {
        Self { name, text: text.into(), code: None }
    }

    fn bad(name: &'static str, code: ExitCode, text: impl Into<String>) -> Self {
        Self { name, text: text.into(), code: Some(code) }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.code.is_none() { "ok" } else { "FAIL" };
        write!(f, "{:<14}{sign:<6}{}", self.name, self.text)
    }
}

/// What is tried, and with what.
struct Preflight<'a> {
    config: &'a Config,
    place: &'a Hosts,
    transport: Arc<dyn Transport>,
    rate_limit: Arc<RateLimit>,
}

/// Tries what a run of `config` needs, and hands every finding to `tell` as it comes.
pub(crate) async fn check(
    config: &Config,
    place: &Hosts,
    transport: Arc<dyn Transport>,
    mut tell: impl FnMut(Finding),
) {
    let check = Preflight {
        config,
        place,
        transport,
        rate_limit: Arc::new(RateLimit::new(config.quota_settings.clone())),
    };
    let datasets: Vec<_> = config.datasets.iter().map(|dataset| dataset.name.as_str()).collect();
    tell(Finding::good(
        "configuration",
        format!("{}: {} of {}", config.name, datasets.join(", "), config.interval),
    ));
    tell(Finding::good("hosts", format!("api {}, login {}", place.api, place.login)));
    match check.token().await {
        Err(fault) => {
            let (code, advice) = if fault.permanent {
                (ExitCode::Credentials, fault.advice)
            } else {
                (ExitCode::Fatal, "run again later")
            };
            tell(Finding::bad("credentials", code, format!("{fault}; {advice}")));
        }
        Ok(token) => {
            let tells = config.platform == Platform::GenesysCloud;
            let (who, clock) =
                if tells { check.who(&token).await } else { (check.somebody(), None) };
            tell(who);
            for dataset in &config.datasets {
                tell(check.permission(dataset, &token).await);
            }
            if tells {
                tell(check.limits(&token).await);
            }
            clock.into_iter().for_each(&mut tell);
        }
    }
    tell(check.sink().await);
}

impl Preflight<'_> {
    fn key(&self, bucket: &str) -> QuotaKey {
        QuotaKey { credential: self.config.auth.credentials.name().into(), bucket: bucket.into() }
    }

    async fn token(&self) -> Result<SecretString, TokenError> {
        let (transport, rate_limit) = (Arc::clone(&self.transport), Arc::clone(&self.rate_limit));
        let client = TokenClient {
            transport,
            rate_limit,
            key: self.key("login"),
            metrics: Arc::new(Metrics::default()),
        };
        let login = TokenSource::new(self.place.login.clone(), &self.config.auth, client);
        login.renew().await.map(|minted| minted.secret)
    }

    /// One request, one reply: nothing here is tried twice.
    async fn ask(
        &self,
        method: Method,
        path: &str,
        token: &SecretString,
        body: Bytes,
    ) -> Result<Response<Bytes>, RequestError> {
        let malformed = |error: String| RequestError::Malformed(error);
        let url = self.place.api.join(path).map_err(|error| malformed(error.to_string()))?;
        let request = Request::builder()
            .method(method)
            .uri(url.as_str())
            .header(
                AUTHORIZATION,
                auth::bearer(token).map_err(|error| malformed(error.to_string()))?,
            )
            .header(CONTENT_TYPE, "application/json")
            .header(ACCEPT, "application/json")
            .body(body)
            .map_err(|error| malformed(error.to_string()))?;
        let permit = self.rate_limit.admit(&self.key("api")).await;
        let reply = self.transport.send(request).await?;
        permit.answered(reply.status(), reply.headers());
        if reply.status().is_success() {
            Ok(reply)
        } else {
            Err(RequestError::Refused(ErrorResponse::read(&reply)))
        }
    }

    async fn get(&self, path: &str, token: &SecretString) -> Result<Response<Bytes>, RequestError> {
        self.ask(Method::GET, path, token, Bytes::new()).await
    }

    /// What is known where the platform does not tell who the token stands for.
    fn somebody(&self) -> Finding {
        Finding::good(
            "credentials",
            format!("a token, by {}", self.config.auth.credentials.grant.name()),
        )
    }

    /// Who the token stands for, and how far the clock is off. (Never `users/me`: a client is no user.)
    async fn who(&self, token: &SecretString) -> (Finding, Option<Finding>) {
        let reply = match self.get("/api/v2/tokens/me", token).await {
            Err(RequestError::Refused(_)) => self.get("/api/v2/organizations/me", token).await,
            reply => reply,
        };
        let grant = self.config.auth.credentials.grant.name();
        match reply {
            Ok(reply) => {
                let me: Value = serde_json::from_slice(reply.body()).unwrap_or_default();
                let organization = me["organization"]["name"]
                    .as_str()
                    .or(me["name"].as_str())
                    .unwrap_or("unnamed");
                let client = me["OAuthClient"]["id"]
                    .as_str()
                    .unwrap_or(&self.config.auth.credentials.client.id);
                let scopes: Vec<_> = me["authorizedScope"]
                    .as_array()
                    .into_iter()
                    .flatten()
                    .filter_map(Value::as_str)
                    .collect();
                let scopes = if scopes.is_empty() {
                    "no scopes of its own".to_owned()
                } else {
                    scopes.join(" ")
                };
                let who = format!(
                    "client {client} of the organisation {organization}, by {grant}, with {scopes}"
                );
                (Finding::good("credentials", who), offset(&reply))
            }
            Err(fault) => (self.refused("credentials", &fault), None),
        }
    }

    /// Asks for the first row of a dataset.
    async fn permission(&self, dataset: &Dataset, token: &SecretString) -> Finding {
        let whole = dataset
            .requested(self.config.interval, self.config.now)
            .unwrap_or(self.config.interval);
        let width =
            i64::try_from(dataset.shard(Duration::from_secs(60)).as_millis()).unwrap_or(i64::MAX);
        let interval = Interval::new(whole.from_ms(), whole.from_ms() + width).unwrap_or(whole);
        let needs = dataset.permission.as_deref().unwrap_or("no permission known");
        // a job is nothing to try for nothing, and whose children to ask for is not known
        let Some(query) = dataset.query.as_ref().filter(|query| query.parent.is_none()) else {
            return Finding::good("permission", format!("{}: {needs}, not tried", dataset.name));
        };
        let ApiRequest { method, target, body, .. } = query.request.fill_filtered(
            &PlaceholderValues::bare(
                interval,
                self.config.api_version.as_deref().unwrap_or_default(),
            ),
            self.config.filter(&dataset.name),
        );
        let body = body.map(|body| Bytes::from(body.to_string())).unwrap_or_default();
        match self.ask(method, &target, token, body).await {
            Ok(_) => Finding::good("permission", format!("{}: {needs}", dataset.name)),
            Err(RequestError::Refused(refusal)) if refusal.status == StatusCode::FORBIDDEN => {
                let lacking = catalog::permission_hint(dataset.permission.as_deref());
                Finding::bad(
                    "permission",
                    ExitCode::Credentials,
                    format!("{}: {refusal}; {lacking}", dataset.name),
                )
            }
            Err(fault) => {
                let finding = self.refused("permission", &fault);
                Finding { text: format!("{}: {}", dataset.name, finding.text), ..finding }
            }
        }
    }

    fn refused(&self, name: &'static str, fault: &RequestError) -> Finding {
        match fault {
            RequestError::Refused(refusal) if refusal.status == StatusCode::UNAUTHORIZED => {
                Finding::bad(
                    name,
                    ExitCode::Credentials,
                    format!("{fault}; {}", self.config.auth.credentials.grant.advice()),
                )
            }
            RequestError::Refused(refusal) if refusal.status == StatusCode::FORBIDDEN => {
                Finding::bad(name, ExitCode::Credentials, fault.to_string())
            }
            _ => Finding::bad(name, ExitCode::Fatal, fault.to_string()),
        }
    }

    /// The organisation's own limits beside the budget. A budget above them is throttled, and runs.
    async fn limits(&self, token: &SecretString) -> Finding {
        let mut known = Vec::new();
        for namespace in NAMESPACES {
            match self
                .get(&format!("/api/v2/organizations/limits/namespaces/{namespace}"), token)
                .await
            {
                Ok(reply) => known.extend(rates(reply.body())),
                Err(fault) => tracing::debug!(namespace, %fault, "no limits"),
            }
        }
        let rate_limit = match self.config.quota_settings.limit {
            Some(limit) => format!("the budget is {} a {:?}", limit.requests, limit.per),
            None => "there is no budget".to_owned(),
        };
        let known = if known.is_empty() {
            "the organisation tells none".to_owned()
        } else {
            known.join(", ")
        };
        Finding::good("limits", format!("{known}; {rate_limit}"))
    }

    /// Writes and removes an object, and asks the ledger whether the output is this job's.
    async fn sink(&self) -> Finding {
        match self.write().await {
            Ok(()) => Finding::good(
                "sink",
                format!("{}: wrote and removed a probe", self.config.output.display()),
            ),
            Err((code, message)) => Finding::bad("sink", code, message),
        }
    }

    async fn write(&self) -> Result<(), (ExitCode, String)> {
        let output = OutputStore::directory(&self.config.output)
            .map_err(|error| (ExitCode::Fatal, error.to_string()))?;
        let probe = StorePath::from(PROBE);
        let put = output.store().put(&probe, Bytes::from_static(b"probe").into()).await;
        put.map_err(|error| (ExitCode::Fatal, error.to_string()))?;
        output
            .store()
            .delete(&probe)
            .await
            .map_err(|error| (ExitCode::Fatal, error.to_string()))?;
        let ledger: &Path = &self.config.output.join(LEDGER);
        if !ledger.exists() {
            return Ok(());
        }
        let identify = Ledger::open(ledger)
            .and_then(|ledger| ledger.check_identity(&self.config.output_identity()));
        identify
            .map_err(crate::error::Error::from)
            .map_err(|error| (error.exit_code(), error.to_string()))
    }
}

/// The limits on requests among an organisation's limits.
fn rates(body: &[u8]) -> Vec<String> {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let entities = body["entities"].as_array().cloned().unwrap_or_default();
    let rate = |limit: &Value| {
        let key = limit["key"]
            .as_str()
            .filter(|key| key.contains("rate") || key.contains("concurrent"))?;
        Some(format!("{key} {}", limit["value"]))
    };
    entities.iter().filter_map(rate).collect()
}

/// How far this machine's clock is from the server's, by the Date of a reply.
fn offset(reply: &Response<Bytes>) -> Option<Finding> {
    let theirs =
        DateTimeParser::new().parse_timestamp(header(reply.headers(), DATE.as_str())?).ok()?;
    let seconds = theirs.duration_since(clock::now()).as_secs();
    let side = if seconds > 0 { "ahead of" } else { "behind" };
    let text = match seconds.abs() {
        0..=2 => "the server's and this machine's agree".to_owned(),
        off => format!("the server's is {off} s {side} this machine's: set this one right"),
    };
    Some(Finding::good("clock", text))
}
