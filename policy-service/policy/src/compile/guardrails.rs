//! Guardrails as filters enforce them, and the blobs that their detectors need.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};

use crate::check::Problem;
use crate::documents::Documents;
use crate::guardrail::{
    BlobId, CompiledGuardrail, Detector, Guardrail, NamedBlob, Prepared, in_order,
};

/// What a mesh has of guardrails.
pub(super) struct Enforced {
    pub(super) guardrails: Vec<CompiledGuardrail>,
    pub(super) rule_files: Vec<NamedBlob>,
    pub(super) word_lists: Vec<NamedBlob>,
    pub(super) blobs: BTreeMap<BlobId, Vec<u8>>,
}

/// Compiles the guardrails that are enabled, and what they name. The documents have no problem.
pub(super) fn enforced(
    documents: &Documents,
    prepared: &mut Prepared,
) -> Result<Enforced, Vec<Problem>> {
    let enabled = documents.guardrails.values();
    let guardrails = in_order(enabled.filter(|guardrail| guardrail.rules.enabled));
    let (files, lists) = named(&guardrails);
    let mut blobs = BTreeMap::new();
    let mut keep = |name: &str, bytes: Vec<u8>| {
        let blob = blob_id(&bytes);
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        blobs.insert(blob.clone(), bytes);
        NamedBlob {
            name: name.to_owned(),
            blob,
            bytes: length,
        }
    };
    let mut rule_files = Vec::new();
    for file in documents.rule_files.values() {
        if files.contains(file.name.as_str()) {
            let bytes = prepared.file_bytes(file, documents);
            rule_files.push(keep(&file.name, bytes.unwrap_or_default()));
        }
    }
    let mut word_lists = Vec::new();
    for list in documents.word_lists.values() {
        if lists.contains(list.name.as_str()) {
            let bytes = prepared.list_bytes(list);
            word_lists.push(keep(&list.name, bytes.unwrap_or_default()));
        }
    }
    rule_files.sort_by(|one, other| one.name.cmp(&other.name));
    word_lists.sort_by(|one, other| one.name.cmp(&other.name));
    let mut compiled = Vec::with_capacity(guardrails.len());
    for guardrail in guardrails {
        compiled.push(CompiledGuardrail {
            id: guardrail.id,
            name: guardrail.name.clone(),
            rules: guardrail.rules.clone(),
            canary: prepared.canary(guardrail, documents)?,
        });
    }
    Ok(Enforced {
        guardrails: compiled,
        rule_files,
        word_lists,
        blobs,
    })
}

/// Returns the names of the rule files and of the word lists that `guardrails` need.
fn named<'g>(guardrails: &[&'g Guardrail]) -> (BTreeSet<&'g str>, BTreeSet<&'g str>) {
    let (mut files, mut lists) = (BTreeSet::new(), BTreeSet::new());
    let stages = guardrails.iter().flat_map(|one| &one.rules.stages);
    for detector in stages.flat_map(|stage| &stage.detectors) {
        match detector {
            Detector::RuleFile { name, .. } => {
                files.insert(name.as_str());
            }
            Detector::Words { list } => {
                lists.insert(list.as_str());
            }
            Detector::Secrets { .. }
            | Detector::Pii { .. }
            | Detector::Regex { .. }
            | Detector::HiddenText
            | Detector::Injection { .. }
            | Detector::External { .. } => {}
        }
    }
    (files, lists)
}

fn blob_id(bytes: &[u8]) -> BlobId {
    let digest = Sha256::digest(bytes);
    let mut name = String::with_capacity(32);
    for byte in digest.iter().take(16) {
        // Writing to a text does not fail.
        let _infallible = write!(name, "{byte:02x}");
    }
    BlobId(name)
}
