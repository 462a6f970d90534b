//! What a run shows in a browser: its dashboard while it goes on, its report afterwards. And its
//! metrics, for Prometheus.
//!
//! Neither may make a run fail: what goes wrong after the start is a warning.

use std::{net::SocketAddr, sync::Arc};

use secrecy::SecretString;

use crate::{
    commands::report::RunReport,
    config::{self, Config, Overrides},
    error::Error,
    telemetry::{self, metrics::Metrics},
    web::{Dashboard, MetricsServer, Source, report},
};

/// The pages of a run of several sources.
pub(super) struct RunPages {
    /// The outputs in the order of the configurations. `None` for one that cannot be shown.
    sources: Vec<Option<Arc<Source>>>,
    dashboard: Option<Dashboard>,
    _metrics: Option<MetricsServer>,
}

/// Where a run is shown while it goes on.
pub(super) struct Addresses {
    /// That of the dashboard. `None` if there is none.
    pub ui: Option<SocketAddr>,
    /// That of the metrics. `None` if there is none.
    pub metrics: Option<SocketAddr>,
    /// The token of both. `None` if one is generated where it is needed.
    pub token: Option<SecretString>,
}

impl RunPages {
    /// Starts what there is an address for, and prints its URL to standard error.
    ///
    /// # Errors
    /// If the address or the token cannot be used.
    pub(super) async fn start(
        overrides: &Overrides,
        configs: &[Config],
        metrics: &[Arc<Metrics>],
        Addresses { ui, metrics: address, token }: Addresses,
    ) -> Result<Self, Error> {
        let served = match address {
            Some(address) => {
                let runs = configs.iter().zip(metrics);
                let runs = runs.map(|(config, metrics)| (config.source.clone(), metrics.clone()));
                let server = MetricsServer::start(address, token.clone(), runs.collect()).await?;
                telemetry::announce(&format!("metrics at {}", server.url()));
                Some(server)
            }
            None => None,
        };
        let mut scopes = config::load_scopes(overrides)?;
        let mut sources = Vec::new();
        for (config, metrics) in configs.iter().zip(metrics) {
            let position = scopes.iter().position(|scope| scope.source == config.source);
            let source = position
                .map(|position| Source::new(scopes.remove(position), Some(Arc::clone(metrics))));
            sources.push(source.map(Arc::new));
        }
        let dashboard = match ui {
            Some(address) => {
                let shown = sources.iter().flatten().cloned().collect();
                let dashboard = Dashboard::start(address, token, shown).await?;
                telemetry::announce(&format!("dashboard at {}", dashboard.url()));
                Some(dashboard)
            }
            None => None,
        };
        Ok(Self { sources, dashboard, _metrics: served })
    }

    /// Writes the report of every run that had its output, and stops the dashboard.
    pub(super) async fn finish(self, results: &[Result<RunReport, Error>]) {
        for (source, result) in self.sources.into_iter().zip(results) {
            let Some(source) = source.filter(|_| had_its_output(result)) else { continue };
            let folder = source.scope().output.display().to_string();
            if let Err(error) = report::write(source).await {
                tracing::warn!(%error, folder, "the report could not be written");
            }
        }
        if let Some(dashboard) = self.dashboard {
            dashboard.stop().await;
        }
    }
}

/// Whether a run had the right to write to its output: not if another process has, or if the output
/// or its ledger is refused.
fn had_its_output(result: &Result<RunReport, Error>) -> bool {
    !matches!(
        result,
        Err(Error::Output(_) | Error::Refused(_) | Error::Ledger(_) | Error::Snapshot(_))
    )
}
