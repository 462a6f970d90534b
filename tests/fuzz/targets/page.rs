//! A page of rows: no row is lost and no value changed, whatever is in it.
#![no_main]

#[path = "../../it/fuzz/page_oracle.rs"]
mod page_oracle;
#[path = "../../it/fuzz/row_oracle.rs"]
mod row_oracle;
#[path = "../../it/fuzz/scalar_oracle.rs"]
mod scalar_oracle;

use std::sync::{Arc, LazyLock};

use cxbackfill::testing::catalog;
use libfuzzer_sys::fuzz_target;
use page_oracle::PageOracle;

static ORACLE: LazyLock<PageOracle> = LazyLock::new(|| {
    let catalog = catalog::read("everything.toml", page_oracle::EVERYTHING).expect("a catalogue");
    PageOracle::new(Arc::clone(&catalog.datasets["everything"]), "rows")
});

fuzz_target!(|body: &[u8]| {
    if let Err(fault) = ORACLE.judge(body) {
        panic!("{fault}");
    }
});
