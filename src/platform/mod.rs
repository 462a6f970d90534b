//! Everything that knows a vendor, one file each.
//!
//! The generic modules (`http`, `auth`, `fetch`) take what differs between platforms as values; the files here
//! hold those values. A further platform is one file here and one TOML file in `catalog`.

pub(crate) mod discovery;
