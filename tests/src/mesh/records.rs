//! What the mesh recorded, as the admin API tells it.

use std::time::Duration;

use serde_json::Value;

use super::Mesh;
use crate::wait;

/// How long a record may take to be stored.
const PATIENCE: Duration = Duration::from_secs(20);

impl Mesh {
    /// Returns the records of a key so far, the newest first.
    #[track_caller]
    pub fn records(&self, key_id: &str) -> Vec<Value> {
        self.records_where(&format!("key={key_id}"))
    }

    /// Returns the records that `filter` (a query) selects, the newest first.
    #[track_caller]
    pub fn records_where(&self, filter: &str) -> Vec<Value> {
        let mut records = Vec::new();
        let mut cursor = String::new();
        loop {
            let page = self
                .admin()
                .get(&format!("/exchanges?{filter}&limit=1000{cursor}"));
            records.extend(
                page["items"]
                    .as_array()
                    .expect("a page of exchanges")
                    .clone(),
            );
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return records,
            }
        }
    }

    /// Waits until a key has `n` finished records and returns them; panics when there are more.
    #[track_caller]
    pub fn wait_records(&self, key_id: &str, n: usize) -> Vec<Value> {
        self.wait_records_where(&format!("key={key_id}"), n)
    }

    /// Waits until `filter` selects `n` finished records and returns them; panics when there are more.
    #[track_caller]
    pub fn wait_records_where(&self, filter: &str, n: usize) -> Vec<Value> {
        let records = wait::until_for(&format!("{n} records where {filter}"), PATIENCE, || {
            let mut records = self.records_where(filter);
            records.retain(|record| record["ended"] != "running");
            (records.len() >= n).then_some(records)
        });
        assert_eq!(records.len(), n, "records where {filter}: {records:#?}");
        records
    }

    /// Waits for the only record of a key.
    #[track_caller]
    pub fn only_record(&self, key_id: &str) -> Value {
        self.wait_records(key_id, 1).remove(0)
    }

    /// Returns the attempts of a record.
    #[track_caller]
    pub fn attempts(&self, record: &Value) -> Vec<Value> {
        let id = record["id"].as_str().expect("a record's id");
        self.admin().get(&format!("/exchanges/{id}"))["attempts"]
            .as_array()
            .expect("attempts")
            .clone()
    }
}
