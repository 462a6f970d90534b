//! Pages whose rows keep their bytes.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Value, value::RawValue};

/// A page of a query or of a job's results.
#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Page {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conversations: Vec<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total_hits: Option<u64>,
    #[serde(flatten)]
    pub rest: BTreeMap<String, Value>,
}

impl Page {
    pub fn read(body: &Bytes) -> Self {
        serde_json::from_slice(body).unwrap()
    }

    pub fn bytes(&self) -> Bytes {
        serde_json::to_vec(self).unwrap().into()
    }
}

/// Changes a row whose id ends with `digit` to one that cannot be decoded.
pub fn make_undecodable(row: &mut Box<RawValue>, digit: char) {
    let mut value: Value = serde_json::from_str(row.get()).unwrap();
    if value["conversationId"].as_str().unwrap().ends_with(digit) {
        value["conversationStart"] = "not a time".into();
        *row = serde_json::value::to_raw_value(&value).unwrap();
    }
}

/// Changes a row to a copy from before its conversation ended.
pub fn make_older(row: &mut Box<RawValue>) {
    let mut older: Value = serde_json::from_str(row.get()).unwrap();
    older.as_object_mut().unwrap().remove("conversationEnd");
    *row = serde_json::value::to_raw_value(&older).unwrap();
}
