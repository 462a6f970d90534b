//! Serves the dashboard until it is stopped.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use axum::Router;
use futures_util::future::join_all;
use secrecy::SecretString;
use tokio::{sync::watch, task::JoinHandle, time::timeout};
use tokio_util::sync::CancellationToken;

use crate::{
    error::Error,
    web::{
        Source,
        access::Access,
        routes::{self, Shared},
        updates::Updates,
    },
};

/// How long open pages have to receive how the run ended.
const GRACE: Duration = Duration::from_secs(2);

/// A running dashboard. It serves in tasks of its own, until it is stopped or dropped.
pub(crate) struct Dashboard {
    url: String,
    tasks: Vec<JoinHandle<()>>,
    server: JoinHandle<io::Result<()>>,
    /// Ends the updates: each sends how the run ended first.
    end_updates: CancellationToken,
    /// Ends event streams and the server.
    end_server: CancellationToken,
    ended: Vec<watch::Receiver<bool>>,
}

impl Dashboard {
    /// Serves `sources` at `address`; port 0 is any free one.
    ///
    /// # Errors
    /// If the address cannot be used, for example because another program listens on it, or if the
    /// token is not safe.
    pub(crate) async fn start(
        address: SocketAddr,
        token: Option<SecretString>,
        sources: Vec<Arc<Source>>,
    ) -> Result<Self, Error> {
        let (listener, access) = Access::listen(address, token).await?;
        let url = access.url();
        let (end_updates, end_server) = (CancellationToken::new(), CancellationToken::new());
        let updates: Arc<[_]> =
            sources.into_iter().map(|source| Arc::new(Updates::new(source))).collect();
        let (mut tasks, mut ended) = (Vec::new(), Vec::new());
        for updates in updates.iter() {
            let updates = Arc::clone(updates);
            let (sender, receiver) = watch::channel(false);
            let end = end_updates.clone();
            tasks.push(tokio::spawn(async move { updates.keep_current(end, sender).await }));
            ended.push(receiver);
        }
        let shared = Shared::new(access, updates, end_server.clone());
        let app = Router::new().fallback(routes::reply).with_state(shared);
        let serving =
            axum::serve(listener, app).with_graceful_shutdown(end_server.clone().cancelled_owned());
        let server = tokio::spawn(async move { serving.await });
        Ok(Self { url, tasks, server, end_updates, end_server, ended })
    }

    /// The URL to open. It has the token, if one is needed.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Sends how the run ended to the pages that are open, and stops. Takes at most a few seconds.
    pub(crate) async fn stop(mut self) {
        self.end_updates.cancel();
        let all = join_all(self.ended.iter_mut().map(|ended| ended.wait_for(|ended| *ended)));
        let _ = timeout(GRACE, all).await;
        self.end_server.cancel();
        let _ = timeout(GRACE, &mut self.server).await;
    }
}

impl Drop for Dashboard {
    fn drop(&mut self) {
        self.end_server.cancel();
        self.server.abort();
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}
