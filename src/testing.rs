//! What the integration tests and the benches use beside the program itself. Not a stable
//! interface.

pub use crate::{
    auth::{
        login_error::LoginError,
        token::{GetToken, Token, TokenActor, TokenClient, TokenSource},
    },
    catalog::{Dataset, Endpoint},
    commands::{
        environment::Environment,
        login::login,
        report::{RunOutcome, RunReport, Summary},
        run::Scope,
    },
    config::{Config, HostSettings, Overrides},
    decode::{Decoder, Drift, DriftKind, DriftedField, JsonType, Page, PageParser},
    exit_code::ExitCode,
    http::{
        dialect::{Dialect, RateLimitHeaderNames},
        error::{RequestError, TokenError},
        rate_limit::{
            QuotaKey, QuotaSettings, RateLimit, RequestLimit,
            concurrency_limit::{ConcurrencyLimit, Outcome},
        },
        transport::{HttpTransport, Transport},
    },
    ledger::{Failure, LEDGER, Ledger, Probe, RemoteJob, reader::Snapshot},
    planning::{LeaseEnd, Next, Plan, PlannerActor, Shard},
    sandbox::{JobSettings, Load, Region, Settings, Stats, WindowUsage},
    sink::{FileSchemas, Layout, OutputStore, ParquetSettings, Profile, ShardWriter},
    tables::{Batches, NestedRows, table_rows},
    telemetry::metrics::Metrics,
    time::interval::{Interval, iso},
};

/// See `crate::sandbox::behaviors`.
pub mod behaviors {
    pub use crate::sandbox::behaviors::{Behavior, BehaviorKind, all};
}

/// See `crate::catalog`.
pub mod catalog {
    pub use crate::catalog::{builtin, read};
}

/// See `crate::commands::probe`.
pub mod probe {
    pub use crate::commands::probe::probe;
}

/// See `crate::commands::remaining`.
pub mod remaining {
    pub use crate::commands::remaining::{estimate, estimate_plan, plan};
}

/// See `crate::commands::run`.
pub mod run {
    pub use crate::commands::run::{backfill, prepare};
}

/// Reads what servers send, for the fuzz targets.
pub mod server_input {
    use bytes::Bytes;
    use http::Response;
    use url::Url;

    use crate::{
        auth::token_response::{self, TokenResponse},
        http::error::TokenError,
        platform::TOKEN_DIALECT,
    };
    pub use crate::{
        fetch::pagination::link::resolve as resolve_link,
        http::{link_header::next_link, retry_after::retry_after},
    };

    /// Reads the answer of the token endpoint.
    ///
    /// # Errors
    /// If the response has no usable token.
    pub fn token_response(response: &Response<Bytes>) -> Result<TokenResponse, TokenError> {
        let endpoint = Url::parse("https://login.example/oauth/token").expect("a URL");
        token_response::read(&endpoint, response, &TOKEN_DIALECT)
    }
}

/// See `crate::time::clock`.
pub mod clock {
    pub use crate::time::clock::now;
}
