//! A query of one interval, a page at a time.

use std::sync::Arc;

use serde_json::{Map, Value};

use crate::{
    catalog::Dataset,
    fault::Fault,
    interval::Interval,
    rows::{Decoder, Page},
};

/// What is asked for.
pub struct Query {
    /// The dataset.
    pub dataset: Arc<Dataset>,
    /// The interval that is asked for.
    pub asked: Interval,
    /// The part of it whose rows are kept.
    pub owner: Interval,
    /// Rows asked for in a page.
    pub page_size: u32,
    /// The next page, from 1.
    pub number: u32,
    /// Decodes its pages.
    pub decoder: Arc<Decoder>,
}

impl Query {
    /// The first page of `interval` comes next, with at most `page_size` rows.
    pub fn new(dataset: &Arc<Dataset>, interval: Interval, page_size: u32) -> Self {
        Self {
            asked: interval,
            owner: interval,
            page_size: page_size.min(dataset.page_size),
            number: 1,
            decoder: Arc::new(Decoder::new(dataset)),
            dataset: Arc::clone(dataset),
        }
    }

    /// The body of the request for the next page.
    pub fn body(&self, filter: &Map<String, Value>) -> Value {
        self.dataset.body(self.asked, self.number, self.page_size, filter)
    }

    /// Whether the next page lies beyond what the platform's paging reaches.
    pub fn is_at_its_depth(&self) -> bool {
        u64::from(self.number) * u64::from(self.page_size) > self.dataset.depth
    }

    /// Refuses a page without rows that says there are some: a reply cut to its envelope.
    pub fn plausible(&self, page: Page) -> Result<Page, Fault> {
        match page.total {
            Some(total) if page.received == 0 && self.number == 1 && total > 0 => {
                Err(Fault::Malformed(format!("the first page of {total} rows has none")))
            }
            None if page.received == 0 && self.dataset.total.is_some() => {
                Err(Fault::Malformed("there are neither rows nor their number".to_owned()))
            }
            _ => Ok(page),
        }
    }
}
