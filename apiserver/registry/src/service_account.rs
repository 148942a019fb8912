//! core/v1 ServiceAccount.

use corten_api_k8s::meta;
use jiff::Timestamp;
use serde_json::Value;

use crate::strategy::{Column, Strategy, age};

pub(crate) struct ServiceAccount;

impl Strategy for ServiceAccount {
    fn columns(&self) -> &'static [Column] {
        const { &[Column::text("Name"), Column::text("Age")] }
    }

    fn row(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        vec![meta::name(object).into(), age(object, now)]
    }
}
