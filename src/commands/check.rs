//! `cxbackfill check`: tries everything that a run needs once, and fetches nothing.

use std::{path::Path, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{
    Method, Request, Response, StatusCode,
    header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, DATE},
};
use object_store::{ObjectStoreExt, path::Path as StorePath};
use secrecy::SecretString;
use serde_json::Value;

use crate::{
    auth::{
        self, Grant,
        token::{TokenClient, TokenSource},
    },
    catalog::{self, ApiRequest, Dataset, PlaceholderValues},
    commands::{hosts::Hosts, memory_estimate},
    config::Config,
    error::Error,
    exit_code::ExitCode,
    http::{
        error::{ErrorResponse, RequestError, TokenError, header},
        rate_limit::{QuotaKey, RateLimit},
        retry_after,
        transport::Transport,
    },
    ledger::{LEDGER, Ledger},
    platform::{Identity, Introspection},
    server_text::ServerText,
    sink::{Layout, store::OutputStore},
    time::{clock, interval::Interval},
};

/// The name of the object that tests the output. Readers of the data ignore names with `_`.
const PROBE: &str = "_probe";

/// The width of the interval whose first row tests a permission.
const PERMISSION_INTERVAL: Duration = Duration::from_secs(60);

/// A difference between the clocks up to this many seconds is ignored.
const CLOCK_TOLERANCE_S: i64 = 2;

/// The result of one check: a line.
#[derive(Debug)]
pub(crate) struct Finding {
    /// What was checked.
    pub name: &'static str,
    /// What was found.
    pub text: String,
    /// Whether a run would work.
    pub state: State,
}

/// What a check found out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// A run would work.
    Ok,
    /// A run would end with this exit code.
    Failed(ExitCode),
    /// The platform could not be asked.
    Unknown,
}

impl Finding {
    fn ok(name: &'static str, text: impl Into<String>) -> Self {
        Self { name, text: text.into(), state: State::Ok }
    }

    fn unknown(name: &'static str, text: impl Into<String>) -> Self {
        Self { name, text: text.into(), state: State::Unknown }
    }

    fn failed(name: &'static str, code: ExitCode, text: impl Into<String>) -> Self {
        Self { name, text: text.into(), state: State::Failed(code) }
    }
}

/// The source that is checked, and the means to do so.
struct Preflight<'a> {
    config: &'a Config,
    hosts: &'a Hosts,
    transport: Arc<dyn Transport>,
    rate_limit: Arc<RateLimit>,
}

/// Checks what a run of `config` needs, and passes every finding to `report` at once.
pub(crate) async fn check(
    config: &Config,
    hosts: &Hosts,
    transport: Arc<dyn Transport>,
    mut report: impl FnMut(Finding),
) {
    let rate_limit = Arc::new(RateLimit::new(config.quota_settings.clone()));
    let check = Preflight { config, hosts, transport, rate_limit };
    let datasets: Vec<_> = config.datasets.iter().map(|dataset| dataset.name.as_str()).collect();
    report(Finding::ok(
        "configuration",
        format!("{}: {} of {}", config.name, datasets.join(", "), config.interval),
    ));
    report(Finding::ok("hosts", format!("api {}, login {}", hosts.api, hosts.login)));
    match check.token().await {
        Ok(token) => check.access(&token, &mut report).await,
        Err(error) => {
            let (code, advice) = match (error.no_connection, error.permanent) {
                (true, _) => (ExitCode::Fatal, "mend this before the next run"),
                (_, true) => (ExitCode::Credentials, error.advice),
                (_, false) => (
                    ExitCode::Fatal,
                    "check the network, the proxy and source.region, or run again later",
                ),
            };
            report(Finding::failed("credentials", code, format!("{error}; {advice}")));
        }
    }
    report(check.output().await);
    if let Some(text) = tables(config) {
        report(Finding::ok("layout", text));
    }
    report(Finding::ok("memory", memory_estimate::sentence(config)));
}

impl Preflight<'_> {
    /// Checks what the token gives access to.
    async fn access(&self, token: &SecretString, report: &mut impl FnMut(Finding)) {
        let introspection = self.config.platform.profile().introspection;
        let (credentials, clock) = match introspection {
            Some(introspection) => self.identity(introspection, token).await,
            None => (self.grant(), None),
        };
        report(credentials);
        for dataset in &self.config.datasets {
            report(self.permission(dataset, token).await);
        }
        if let Some(introspection) = introspection {
            report(self.limits(introspection, token).await);
        }
        if let Some(clock) = clock {
            report(clock);
        }
    }

    async fn token(&self) -> Result<SecretString, TokenError> {
        let client = TokenClient::new(
            &self.config.auth.credentials,
            Arc::clone(&self.transport),
            Arc::clone(&self.rate_limit),
            Arc::default(),
        );
        let source = TokenSource::new(self.hosts.login.clone(), &self.config.auth, client);
        source.renew().await.map(|response| response.secret)
    }

    /// Sends one request, once.
    async fn send(
        &self,
        method: Method,
        path: &str,
        token: &SecretString,
        body: Bytes,
    ) -> Result<Response<Bytes>, RequestError> {
        let request = self
            .request(method, path, token, body)
            .map_err(|error| RequestError::Malformed(error.into()))?;
        let key = QuotaKey {
            credential: self.config.auth.credentials.name().into(),
            bucket: "api".into(),
        };
        let permit = self.rate_limit.admit(&key).await;
        let response = self.transport.send(request).await?;
        permit.answered(response.status(), response.headers());
        if response.status().is_success() {
            return Ok(response);
        }
        let dialect = self.config.platform.profile().dialect;
        Err(RequestError::Refused(ErrorResponse::read(&response, dialect)))
    }

    fn request(
        &self,
        method: Method,
        path: &str,
        token: &SecretString,
        body: Bytes,
    ) -> Result<Request<Bytes>, String> {
        let url = self.hosts.api.join(path).map_err(|error| error.to_string())?;
        let bearer = auth::bearer(token).map_err(|error| error.to_string())?;
        Request::builder()
            .method(method)
            .uri(url.as_str())
            .header(AUTHORIZATION, bearer)
            .header(CONTENT_TYPE, "application/json")
            .header(ACCEPT, "application/json")
            .body(body)
            .map_err(|error| error.to_string())
    }

    async fn get(&self, path: &str, token: &SecretString) -> Result<Response<Bytes>, RequestError> {
        self.send(Method::GET, path, token, Bytes::new()).await
    }

    /// What is known of the token if the platform does not describe it.
    fn grant(&self) -> Finding {
        match &self.config.auth.credentials.grant {
            Grant::Static(_) => Finding::unknown(
                "credentials",
                "the token of auth.token, which the platform does not describe",
            ),
            grant => Finding::ok("credentials", format!("a token, by {}", grant.name())),
        }
    }

    /// Finds the owner of the token, and how much the clocks differ.
    async fn identity(
        &self,
        introspection: &Introspection,
        token: &SecretString,
    ) -> (Finding, Option<Finding>) {
        let mut answer = Err(RequestError::Malformed("the platform describes no token".into()));
        for path in introspection.identity_paths {
            answer = self.get(path, token).await;
            if !matches!(answer, Err(RequestError::Refused(_))) {
                break;
            }
        }
        let response = match answer {
            Ok(response) => response,
            Err(error) => return (self.request_failed("credentials", &error), None),
        };
        let body = serde_json::from_slice(response.body()).unwrap_or_default();
        let Identity { client, organization, scopes } = (introspection.read_identity)(&body);
        let credentials = &self.config.auth.credentials;
        let client = client.unwrap_or_else(|| credentials.client.id.clone());
        let organization = organization.unwrap_or_else(|| "unnamed".to_owned());
        let scopes = match scopes.is_empty() {
            true => "no scopes of its own".to_owned(),
            false => scopes.join(" "),
        };
        let grant = credentials.grant.name();
        let text = format!(
            "client {client} of the organization {organization}, by {grant}, with {scopes}"
        );
        let text = ServerText::from(text).to_string();
        (Finding::ok("credentials", text), clock_difference(&response))
    }

    /// Requests the first row of a dataset.
    async fn permission(&self, dataset: &Dataset, token: &SecretString) -> Finding {
        let permission = dataset.permission.as_deref().unwrap_or("no permission known");
        // a job leaves something behind, and child endpoints need the ids of their parents
        let Some(query) = dataset.query.as_ref().filter(|query| query.parent.is_none()) else {
            let text = format!("{}: needs {permission}; only a run can try it", dataset.name);
            return Finding::unknown("permission", text);
        };
        let api_version = self.config.api_version.as_deref().unwrap_or_default();
        let values = PlaceholderValues::bare(self.permission_interval(dataset), api_version);
        let ApiRequest { method, target, body, .. } =
            query.request.fill_filtered(&values, self.config.filter(&dataset.name));
        let body = body.map(|body| Bytes::from(body.to_string())).unwrap_or_default();
        match self.send(method, &target, token, body).await {
            Ok(_) => Finding::ok("permission", format!("{}: {permission}", dataset.name)),
            Err(RequestError::Refused(response)) if response.status == StatusCode::FORBIDDEN => {
                let advice = catalog::permission_hint(dataset.permission.as_deref());
                Finding::failed(
                    "permission",
                    ExitCode::Credentials,
                    format!("{}: {response}; {advice}", dataset.name),
                )
            }
            Err(error) => {
                let finding = self.request_failed("permission", &error);
                Finding { text: format!("{}: {}", dataset.name, finding.text), ..finding }
            }
        }
    }

    /// The beginning of the interval that a run requests of a dataset.
    fn permission_interval(&self, dataset: &Dataset) -> Interval {
        let requested = dataset
            .requested(self.config.interval, self.config.now)
            .unwrap_or(self.config.interval);
        let width = dataset.shard(PERMISSION_INTERVAL).as_millis();
        let to = requested.from_ms().saturating_add(i64::try_from(width).unwrap_or(i64::MAX));
        Interval::new(requested.from_ms(), to).unwrap_or(requested)
    }

    fn request_failed(&self, name: &'static str, error: &RequestError) -> Finding {
        match error {
            RequestError::Refused(response) if response.status == StatusCode::UNAUTHORIZED => {
                let advice = self.config.auth.credentials.grant.advice();
                Finding::failed(name, ExitCode::Credentials, format!("{error}; {advice}"))
            }
            RequestError::Refused(response) if response.status == StatusCode::FORBIDDEN => {
                Finding::failed(name, ExitCode::Credentials, error.to_string())
            }
            _ => Finding::failed(name, ExitCode::Fatal, error.to_string()),
        }
    }

    /// The organization's limits beside the configured one. A configured limit above them works,
    /// but is throttled.
    async fn limits(&self, introspection: &Introspection, token: &SecretString) -> Finding {
        let (mut limits, mut failure) = (Vec::new(), None);
        for path in introspection.limit_paths {
            match self.get(path, token).await {
                Ok(response) => {
                    let body: Value = serde_json::from_slice(response.body()).unwrap_or_default();
                    limits.extend((introspection.read_limits)(&body));
                }
                Err(error) => failure = Some(error),
            }
        }
        let configured = match self.config.quota_settings.limit {
            Some(limit) => format!("the budget is {} a {:?}", limit.requests, limit.per),
            None => "there is no budget".to_owned(),
        };
        match failure {
            Some(error) if limits.is_empty() => {
                let text = format!("cannot read the organization's: {error}; {configured}");
                Finding::unknown("limits", text)
            }
            _ if limits.is_empty() => {
                Finding::ok("limits", format!("the organization publishes none; {configured}"))
            }
            _ => {
                let limits = ServerText::from(limits.join(", "));
                Finding::ok("limits", format!("{limits}; {configured}"))
            }
        }
    }

    /// Writes and deletes an object, and checks that the output belongs to this job.
    async fn output(&self) -> Finding {
        let output = self.config.output.display();
        match self.probe_output().await {
            Ok(()) => Finding::ok("sink", format!("{output}: wrote and deleted a probe")),
            Err((code, message)) => Finding::failed("sink", code, message),
        }
    }

    async fn probe_output(&self) -> Result<(), (ExitCode, String)> {
        let output = OutputStore::create(&self.config.output, self.config.file_mode)
            .map_err(|error| (ExitCode::Fatal, error.to_string()))?;
        let probe = StorePath::from(PROBE);
        let put = output.store().put(&probe, Bytes::from_static(b"probe").into()).await;
        let failed = |source| (ExitCode::Fatal, output.error(PROBE, source).to_string());
        put.map_err(failed)?;
        output.store().delete(&probe).await.map_err(failed)?;
        let ledger: &Path = &self.config.output.join(LEDGER);
        if !ledger.exists() {
            return Ok(());
        }
        Ledger::open(ledger)
            .and_then(|ledger| ledger.check_identity(&self.config.output_identity()))
            .map_err(Error::from)
            .map_err(|error| (error.exit_code(), error.to_string()))
    }
}

/// Which datasets have files of tables, and which have none. `None` if the layout has no tables.
fn tables(config: &Config) -> Option<String> {
    let layout = config.format.layout;
    if layout == Layout::Nested {
        return None;
    }
    let has_tables = |dataset: &&Arc<Dataset>| !layout.tables(dataset).is_empty();
    let (with, without): (Vec<_>, Vec<_>) = config.datasets.iter().partition(has_tables);
    let mut sentences = Vec::new();
    let no_tables = "nested rows only, since the catalog describes no tables of";
    for (datasets, what, of) in [(with, "tables", [""; 2]), (without, no_tables, [" it", " them"])]
    {
        let names: Vec<_> = datasets.iter().map(|dataset| dataset.name.as_str()).collect();
        match names[..] {
            [] => {}
            [name] => sentences.push(format!("{name} has {what}{}", of[0])),
            _ => sentences.push(format!("{} have {what}{}", names.join(", "), of[1])),
        }
    }
    Some(format!("{}: {}", layout.name(), sentences.join("; ")))
}

/// How much the server's clock differs from this machine's. `None` if the response has no date.
fn clock_difference(response: &Response<Bytes>) -> Option<Finding> {
    let date = header(response.headers(), DATE.as_str())?;
    let server_time = retry_after::date(date)?;
    let seconds = server_time.duration_since(clock::now()).as_secs();
    let text = if seconds.abs() <= CLOCK_TOLERANCE_S {
        "the clocks of the server and of this machine agree".to_owned()
    } else {
        let side = if seconds > 0 { "ahead of" } else { "behind" };
        format!(
            "the server's clock is {} s {side} this machine's: correct this machine's clock",
            seconds.abs()
        )
    };
    Some(Finding::ok("clock", text))
}
