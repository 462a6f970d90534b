//! A run inside the process of the test: its configuration, its environment, and its clock.

use std::sync::Arc;

use actix::System;
use cxbackfill::testing::{
    Config, Environment, Ledger, Metrics, OutputStore, Overrides, Transport,
};
use tokio::runtime::Builder;
use tokio_util::sync::CancellationToken;

/// The configuration of the defaults and these settings.
pub fn config<S: ToString>(settings: &[S]) -> Config {
    let set = settings.iter().map(ToString::to_string).collect();
    Config::load(&Overrides { set, ..Overrides::default() }).unwrap().remove(0)
}

/// The environment of a run against one host, which `transport` simulates.
pub fn environment(
    transport: Arc<dyn Transport>,
    output: OutputStore,
    ledger: Ledger,
) -> Environment {
    let host: url::Url = "http://api.example/".parse().unwrap();
    Environment {
        api: host.clone(),
        login: host,
        transport,
        output,
        ledger,
        metrics: Arc::new(Metrics::default()),
        shutdown: CancellationToken::new(),
        seed: 1,
    }
}

/// Runs a future in one thread, on virtual time that advances whenever all tasks wait.
pub fn on_virtual_time<T>(future: impl Future<Output = T>) -> T {
    let paused = || Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    System::with_tokio_rt(paused).block_on(future)
}
