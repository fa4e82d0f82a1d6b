//! Whether the guardrails of one version of the policy say to an exchange what those of another do.

use policy::guardrail::{CompiledGuardrail, Detector, NamedBlob};

use super::{Guard, Selection};

/// What the guardrails of a selection say.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Content<'g> {
    active: Vec<&'g CompiledGuardrail>,
    unsampled: Vec<&'g CompiledGuardrail>,
    parts: Vec<&'g NamedBlob>,
}

impl Guard {
    /// Returns all that the selected guardrails say, with the parts that travel apart: what is equal judges equally.
    pub(crate) fn content_of(&self, selection: &Selection) -> Content<'_> {
        let rails = |places: &[usize]| {
            let rails = places.iter().filter_map(|place| self.rails.get(*place));
            rails.map(|rail| &rail.guardrail).collect::<Vec<_>>()
        };
        let (active, unsampled) = (rails(&selection.rails), rails(&selection.unsampled));
        let stages = active.iter().flat_map(|rail| &rail.rules.stages);
        let parts = stages.flat_map(|stage| &stage.detectors);
        let parts = parts.filter_map(|detector| {
            let (parts, name) = match detector {
                Detector::RuleFile { name, .. } => (&self.made_from.rule_files, name),
                Detector::Words { list } => (&self.made_from.word_lists, list),
                Detector::Secrets { .. }
                | Detector::Pii { .. }
                | Detector::Regex { .. }
                | Detector::HiddenText
                | Detector::Injection { .. }
                | Detector::External { .. } => return None,
            };
            parts.iter().find(|part| part.name == *name)
        });
        Content {
            parts: parts.collect(),
            active,
            unsampled,
        }
    }
}
