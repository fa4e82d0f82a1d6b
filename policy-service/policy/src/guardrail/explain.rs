//! Which guardrails are asked, in which order, and what each does.

use core::cmp::Reverse;

use super::scope::{GuardTarget, Subject};
use super::{Action, Detector, GuardScope, Guardrail, TextRole, describe};
use crate::check::Problem;
use crate::compiled::{CompiledKey, Mesh, Principal};
use crate::documents::Documents;
use crate::ids::ExchangeId;
use crate::routing::{ModelAsk, NoRoute, candidates};
use crate::surface::Surface;

/// Puts guardrails into the order in which they are asked: the most severe first, then by name.
///
/// Where two of them change the same bytes, the first one's action counts.
pub fn in_order<'g>(guardrails: impl Iterator<Item = &'g Guardrail>) -> Vec<&'g Guardrail> {
    let mut guardrails = guardrails.collect::<Vec<_>>();
    guardrails.sort_by_key(|guardrail| (Reverse(guardrail.rules.severity), &guardrail.name));
    guardrails
}

/// Says what each guardrail does, in the order in which they are asked; those that are switched off come last.
pub fn explain(documents: &Documents) -> Vec<String> {
    let (on, off): (Vec<_>, Vec<_>) = in_order(documents.guardrails.values())
        .into_iter()
        .partition(|guardrail| guardrail.rules.enabled);
    let all = on.into_iter().chain(off);
    all.map(|guardrail| describe(guardrail, documents))
        .collect()
}

/// A request that is not made, to ask which guardrails would look at it.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// `None` for a request without a key.
    pub key: Option<&'a CompiledKey>,
    /// Empty for a request that names none: it may go to every provider.
    pub model: &'a str,
    pub surface: Surface,
}

/// Returns the guardrails of `mesh` by name, each with what keeps it from the request, in the order in which they are
/// asked.
///
/// # Errors
/// [`NoRoute`] when the request would go nowhere.
pub fn applying<'m>(
    mesh: &'m Mesh,
    question: &Question<'_>,
) -> Result<Vec<(&'m str, Option<&'static str>)>, NoRoute> {
    let asked = ModelAsk {
        dialect: question.surface.dialect(),
        model: question.model,
        pinned_provider: None,
    };
    let attempts = if question.model.is_empty() {
        Vec::new()
    } else {
        candidates(mesh, question.key, &asked)?.order(0).targets
    };
    let mut targets = attempts
        .iter()
        .filter_map(|attempt| {
            Some(GuardTarget {
                provider: &mesh.providers.get(attempt.provider)?.name,
                model: &attempt.model,
            })
        })
        .collect::<Vec<_>>();
    if question.model.is_empty() {
        targets.extend(mesh.providers.iter().map(|provider| GuardTarget {
            provider: &provider.name,
            model: "",
        }));
    }
    let nobody = Principal::default();
    let subject = Subject {
        principal: question.key.map_or(&nobody, |key| &key.principal),
        surface: question.surface,
        asked_model: question.model,
        targets: &targets,
        exchange: ExchangeId::new(uuid::Uuid::nil()),
    };
    let guardrails = mesh.guardrails.iter();
    Ok(guardrails
        .map(|guardrail| {
            (
                guardrail.name.as_str(),
                obstacle(&guardrail.rules.scope, &subject),
            )
        })
        .collect())
}

/// Returns what keeps a guardrail of this scope from the exchange.
fn obstacle(scope: &GuardScope, subject: &Subject<'_>) -> Option<&'static str> {
    if !scope.covers_principal(subject.principal) {
        Some("it is for others")
    } else if !scope.covers_surface(subject.surface) {
        Some("it is for other surfaces")
    } else if !scope.covers_models_of(subject) {
        Some("it is for other models")
    } else if !scope.covers_providers_of(subject) {
        Some("it is for other providers")
    } else {
        None
    }
}

/// Returns what is allowed but may not do what its author thinks, with places like those of problems.
pub fn warnings(documents: &Documents) -> Vec<Problem> {
    let mut warnings = Vec::new();
    for guardrail in in_order(documents.guardrails.values()) {
        let at = format!("guardrails[{}]", guardrail.name);
        let rules = &guardrail.rules;
        let acts = rules
            .stages
            .iter()
            .any(|stage| stage.action != Action::Observe);
        if acts && rules.scope.roles == [TextRole::Thinking] {
            let message = "thinking that its provider signed or encrypted is never changed: what is found there is \
                           recorded and passes";
            warnings.push(Problem::new(format!("{at}.scope.roles"), message));
        }
        for (number, stage) in rules.stages.iter().enumerate() {
            let only_records =
                |detector: &Detector| *detector == Detector::Injection { acts: false };
            if stage.action != Action::Observe && stage.detectors.iter().any(only_records) {
                let message = "phrases of prompt injection are only recorded, whatever the action; set `acts` to act \
                               on them, and expect false alarms on texts about security";
                warnings.push(Problem::new(
                    format!("{at}.stages[{number}].detectors"),
                    message,
                ));
            }
        }
    }
    warnings
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::documents::Owner;
    use crate::fixture::{compiled, documents, everything, key, patterns, provider};
    use crate::guardrail::{Direction, GuardrailPreset, GuardrailRules, Severity, Stage};
    use crate::ids::{GuardrailId, UserId};
    use crate::surface::Dialect;

    fn guardrail(number: u128, name: &str, rules: GuardrailRules) -> Guardrail {
        Guardrail {
            id: GuardrailId::new(Uuid::from_u128(number)),
            name: name.to_owned(),
            rules,
        }
    }

    fn sample() -> Documents {
        let mut documents = documents(vec![
            provider("a", Dialect::Openai, 1),
            provider("b", Dialect::Anthropic, 1),
        ]);
        let second = key(
            2,
            Owner::User(UserId::new(Uuid::from_u128(1))),
            everything(),
        );
        documents.keys.insert(second.id, second.clone());
        let mut for_second = GuardrailPreset::Pii.rules();
        for_second.severity = Severity::Critical;
        for_second.scope.keys = vec![second.id];
        let mut for_claude = GuardrailPreset::Pii.rules();
        for_claude.scope.models = patterns(&["claude*"]);
        let mut off = GuardrailPreset::Pii.rules();
        off.enabled = false;
        off.severity = Severity::Critical;
        for guardrail in [
            guardrail(1, "all", GuardrailPreset::Pii.rules()),
            guardrail(2, "second", for_second),
            guardrail(3, "claude", for_claude),
            guardrail(4, "off", off),
        ] {
            documents.guardrails.insert(guardrail.id, guardrail);
        }
        documents
    }

    #[test]
    fn the_most_severe_is_asked_first_and_what_is_off_is_told_last() {
        let sentences = explain(&sample());
        let names = sentences.iter().map(|text| text.split('`').nth(1).unwrap());
        assert_eq!(
            names.collect::<Vec<_>>(),
            ["second", "all", "claude", "off"]
        );
    }

    #[test]
    fn the_mesh_says_which_guardrails_look_at_a_request() {
        let compiled = compiled(&sample());
        let ask = |key: usize, model: &str| {
            let question = Question {
                key: compiled.keys.values().nth(key),
                model,
                surface: Surface::OpenaiChat,
            };
            applying(&compiled.mesh, &question)
        };
        let other_models = Some("it is for other models");
        assert_eq!(
            ask(0, "gpt-5").unwrap(),
            [
                ("second", Some("it is for others")),
                ("all", None),
                ("claude", other_models)
            ]
        );
        assert_eq!(
            ask(1, "").unwrap(),
            [("second", None), ("all", None), ("claude", None)]
        );
    }

    #[test]
    fn a_request_that_goes_nowhere_is_told() {
        let mut documents = sample();
        documents
            .providers
            .retain(|_, provider| provider.name == "b");
        let compiled = compiled(&documents);
        let question = Question {
            key: None,
            model: "gpt-5",
            surface: Surface::OpenaiChat,
        };
        assert!(applying(&compiled.mesh, &question).is_err());
    }

    #[test]
    fn what_may_surprise_is_warned_of() {
        let mut documents = Documents::default();
        let mut thinking = GuardrailPreset::Pii.rules();
        thinking.scope.roles = vec![TextRole::Thinking];
        let mut phrases = GuardrailRules::new(vec![Stage {
            detectors: vec![Detector::Injection { acts: false }],
            action: Action::Block,
        }]);
        phrases.direction = Direction::Request;
        for guardrail in [
            guardrail(1, "phrases", phrases),
            guardrail(2, "secrets", GuardrailPreset::Secrets.rules()),
            guardrail(3, "thinking", thinking),
        ] {
            documents.guardrails.insert(guardrail.id, guardrail);
        }
        let paths = warnings(&documents).into_iter().map(|problem| problem.path);
        assert_eq!(
            paths.collect::<Vec<_>>(),
            [
                "guardrails[phrases].stages[0].detectors",
                "guardrails[thinking].scope.roles",
            ]
        );
    }
}
