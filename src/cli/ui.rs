//! `cxbackfill ui`, and the arguments that it shares with `run --ui`.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
};

use secrecy::SecretString;

use crate::{
    cli::interrupted,
    config::{self, Overrides},
    error::Error,
    exit_code::ExitCode,
    web::{Dashboard, Source},
};

/// The address of a dashboard if none is given.
pub(super) const DEFAULT_ADDRESS: &str = "127.0.0.1:8787";
/// The environment variable with the token.
const TOKEN_VARIABLE: &str = "CXBACKFILL_UI_TOKEN";

#[derive(Debug, clap::Args)]
pub(super) struct UiArgs {
    /// Where to listen. Any other address than 127.0.0.1 needs a token, which is generated and
    /// printed if none is given.
    #[arg(long, value_name = "ADDRESS", default_value = DEFAULT_ADDRESS, value_parser = address)]
    listen: SocketAddr,
    #[command(flatten)]
    token: TokenArgs,
}

#[derive(Debug, clap::Args)]
pub(super) struct TokenArgs {
    /// The token that a browser needs, at least 16 characters. Other users of this machine see it
    /// here: the environment variable `CXBACKFILL_UI_TOKEN` hides it from them.
    #[arg(long, value_name = "TOKEN")]
    ui_token: Option<String>,
}

impl TokenArgs {
    /// The token. `None` if none is given.
    pub(super) fn token(&self) -> Option<SecretString> {
        let given = self.ui_token.clone();
        given.or_else(|| std::env::var(TOKEN_VARIABLE).ok()).map(SecretString::from)
    }
}

/// Serves the outputs of all sources until the process is interrupted.
pub(super) async fn execute(overrides: &Overrides, args: &UiArgs) -> Result<ExitCode, Error> {
    let scopes = config::load_scopes(overrides)?;
    let sources = scopes.into_iter().map(|scope| Arc::new(Source::new(scope, None))).collect();
    let dashboard = Dashboard::start(args.listen, args.token.token(), sources).await?;
    sayln!("{}", dashboard.url());
    interrupted().await.map_err(Error::Signals)?;
    dashboard.stop().await;
    Ok(ExitCode::Complete)
}

/// An address such as `127.0.0.1:8787` or `localhost:8787`; port 0 is any free one.
pub(super) fn address(text: &str) -> Result<SocketAddr, String> {
    let local = text.strip_prefix("localhost:").and_then(|port| port.parse().ok());
    let local = local.map(|port| SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port));
    local.or_else(|| text.parse().ok()).ok_or_else(|| {
        format!("expected an IP address and a port, such as {DEFAULT_ADDRESS} or [::1]:8787")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_an_ip_address_or_localhost_and_a_port() {
        assert_eq!(address("localhost:0").unwrap(), "127.0.0.1:0".parse().unwrap());
        assert_eq!(address("[::1]:8787").unwrap(), "[::1]:8787".parse().unwrap());
        for wrong in ["8787", "localhost", "example.com:80", "127.0.0.1", "127.0.0.1:70000"] {
            let error = address(wrong).unwrap_err();
            assert!(error.contains("such as 127.0.0.1:8787"), "{wrong}: {error}");
        }
    }
}
