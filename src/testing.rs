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
    sink::{OutputStore, ParquetSettings, ShardWriter},
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

/// See `crate::time::clock`.
pub mod clock {
    pub use crate::time::clock::now;
}
