//! Follows the policy service on behalf of the whole process: one VM holds the lease, asks, and publishes.

use std::time::Duration;

use policy::compiled::Mesh;
use policy::units::Timestamp;
use prost::Message as _;
use wire::mesh::{FollowAnswer, FollowRequest};

use crate::blobs;
use crate::config::Config;
use crate::host;
use crate::shared::{self, Head};
use crate::vm::{self, Vm};

/// How long the service may hold the question open.
const WAIT_MS: u32 = 15_000;
/// Longer than the service waits, so that an unanswered question is a broken one.
const TIMEOUT: Duration = Duration::from_secs(20);
/// Pause after a failed question.
const RETRY_MS: u64 = 250;
/// Pause after a snapshot that could not be taken.
const REFUSED_RETRY_MS: u64 = 5_000;

/// One VM's part in following.
#[derive(Debug, Default)]
pub(crate) struct Follower {
    call: Option<u32>,
    not_before: Timestamp,
    page_token: Vec<u8>,
    /// Version in which the pages so far changed the mesh.
    mesh_changed: bool,
    /// Key tables that were written and not counted as changed yet.
    uncounted: Vec<u8>,
    refused: Option<(u64, String)>,
}

impl Follower {
    /// Takes the lease when it is free, and asks when nothing is asked.
    pub(crate) fn tick(&mut self, config: &Config, now: Timestamp) {
        let leads = vm::with(|vm| shared::hold_lease(&vm.id, now));
        if leads && self.call.is_none() && now >= self.not_before {
            self.ask(config);
        }
    }

    fn ask(&mut self, config: &Config) {
        let Some(cluster) = config.policy_cluster.as_deref() else {
            return;
        };
        let request = vm::with(|vm| self.request(vm, config)).encode_to_vec();
        self.call = host::call(cluster, "Follow", &request, TIMEOUT);
        if self.call.is_none() {
            self.pause(RETRY_MS);
        }
    }

    fn request(&self, vm: &Vm, config: &Config) -> FollowRequest {
        let head = shared::head();
        let (refused_version, refused_because) = self.refused.clone().unwrap_or_default();
        FollowRequest {
            node_id: vm.node_id.clone(),
            process_id: shared::process_id().to_vec(),
            generation: head
                .map(|head| head.generation.to_vec())
                .unwrap_or_default(),
            version: head.map(|head| head.version).unwrap_or_default(),
            wait_ms: WAIT_MS,
            clusters_from_service: config.clusters_from_service,
            page_token: self.page_token.clone(),
            refused_version,
            refused_because,
        }
    }

    /// Takes the answer to a question; `false` when the call was not one.
    pub(crate) fn answered(
        &mut self,
        config: &Config,
        call: u32,
        status: u32,
        length: usize,
    ) -> bool {
        if self.call != Some(call) {
            return false;
        }
        self.call = None;
        let now = host::now();
        let leads = vm::with(|vm| shared::hold_lease(&vm.id, now));
        if status != 0 || !leads {
            self.start_over();
            self.pause(RETRY_MS);
            return true;
        }
        match FollowAnswer::decode(host::answer(length).as_slice()) {
            Ok(answer) => self.publish(config, answer, now),
            Err(_) => {
                self.start_over();
                self.pause(RETRY_MS);
            }
        }
        true
    }

    fn publish(&mut self, config: &Config, answer: FollowAnswer, now: Timestamp) {
        let in_force = vm::with(|vm| vm.mesh.clone());
        if !answer
            .blobs
            .iter()
            .all(|piece| blobs::store(piece, in_force.as_deref()))
        {
            host::error(
                "a rule file or word list could not be taken; the last snapshot stays in force",
            );
            self.refused = Some((
                answer.version,
                "a rule file or word list came incomplete, or there are too many".to_owned(),
            ));
            self.start_over();
            self.pause(REFUSED_RETRY_MS);
            return;
        }
        if !answer.mesh.is_empty() {
            if let Err(error) = Mesh::decode(&answer.mesh) {
                host::error("a policy snapshot was refused; the last one stays in force");
                self.refused = Some((answer.version, error.to_string()));
                self.start_over();
                self.pause(REFUSED_RETRY_MS);
                return;
            }
            shared::set_mesh(&answer.mesh);
            self.mesh_changed = true;
        }
        // A service that was restarted tells everything again: what is as it was disturbs nobody.
        let is_news =
            |index: u8, table: &[u8]| shared::key_table(index).unwrap_or_default() != table;
        for shard in &answer.shards {
            if let Ok(index) = u8::try_from(shard.index)
                && is_news(index, &shard.table)
            {
                shared::set_key_table(index, &shard.table);
                self.uncounted.push(index);
            }
        }
        if !self.uncounted.is_empty() && !shared::count_key_table_changes(&self.uncounted) {
            host::error("changed keys could not be published yet");
            self.start_over();
            self.pause(RETRY_MS);
            return;
        }
        self.uncounted.clear();
        if !answer.next_page_token.is_empty() {
            self.page_token = answer.next_page_token;
            return self.ask(config);
        }
        self.finish(&answer, now);
        self.ask(config);
    }

    fn finish(&mut self, answer: &FollowAnswer, now: Timestamp) {
        let known = shared::head();
        let mesh_version = match known {
            Some(known) if !self.mesh_changed => known.mesh_version,
            Some(_) | None => answer.version,
        };
        let generation = answer.generation.as_slice().try_into().unwrap_or_default();
        shared::set_head(&Head {
            generation,
            version: answer.version,
            mesh_version,
            confirmed: now,
        });
        self.start_over();
        self.refused = None;
        vm::with(Vm::adopt);
    }

    fn start_over(&mut self) {
        self.page_token.clear();
        self.mesh_changed = false;
    }

    fn pause(&mut self, millis: u64) {
        self.not_before = Timestamp::from_millis(host::now().as_millis().saturating_add(millis));
    }
}
