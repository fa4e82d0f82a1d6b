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
        let mut records = Vec::new();
        let mut page = String::new();
        loop {
            let answer = self.admin().get(&format!("/exchanges?key={key_id}&limit=500{page}"));
            records.extend(answer["exchanges"].as_array().or(answer["items"].as_array()).cloned().unwrap_or_default());
            match answer["next"].as_str().or(answer["next_page"].as_str()) {
                Some(next) => page = format!("&page={next}"),
                None => return records,
            }
        }
    }

    /// Waits until a key has `n` finished records and returns them; panics when there are more.
    #[track_caller]
    pub fn wait_records(&self, key_id: &str, n: usize) -> Vec<Value> {
        let finished = || -> Vec<Value> {
            let records = self.records(key_id);
            records.into_iter().filter(|record| record["ended"] != "running").collect()
        };
        let records = wait::until_for(&format!("{n} records of key {key_id}"), PATIENCE, || {
            let records = finished();
            (records.len() >= n).then_some(records)
        });
        assert_eq!(records.len(), n, "records of key {key_id}: {records:#?}");
        records
    }

    /// Waits for the only record of a key.
    #[track_caller]
    pub fn only_record(&self, key_id: &str) -> Value {
        self.wait_records(key_id, 1).remove(0)
    }
}
