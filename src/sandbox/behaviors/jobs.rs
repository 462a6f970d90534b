//! What servers do with asynchronous jobs, and with requests that are made once for each parent.

use crate::sandbox::behaviors::Behavior;

/// See the module.
pub(super) const ALL: &[Behavior] = &[];
