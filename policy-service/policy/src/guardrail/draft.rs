//! A guardrail as it is written: everything may be left out.

use serde::{Deserialize, Serialize};

use super::{
    Action, AllowRule, Direction, GuardScope, GuardrailPreset, GuardrailRules, OnError, OnHistory,
    OnUnknownToken, OnUnscanned, Severity, Stage, StreamEnd,
};
use crate::check::Problem;

/// Fields of a guardrail to be made, or those of one that are to change. `S` is how scopes are written: with ids or
/// with names.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GuardrailDraft<S = GuardScope> {
    /// For a new one: [`GuardrailPreset`] that gives what is left out.
    pub preset: Option<String>,
    pub name: Option<String>,
    /// The action of every stage.
    pub action: Option<Action>,
    pub enabled: Option<bool>,
    pub direction: Option<Direction>,
    pub scope: Option<S>,
    pub severity: Option<Severity>,
    pub stages: Option<Vec<Stage>>,
    pub allow: Option<Vec<AllowRule>>,
    pub on_error: Option<OnError>,
    pub on_unscanned: Option<OnUnscanned>,
    pub on_history: Option<OnHistory>,
    pub on_unknown_token: Option<OnUnknownToken>,
    pub sampling: Option<u16>,
    pub stream_end: Option<StreamEnd>,
}

impl<S> Default for GuardrailDraft<S> {
    fn default() -> Self {
        Self {
            preset: None,
            name: None,
            action: None,
            enabled: None,
            direction: None,
            scope: None,
            severity: None,
            stages: None,
            allow: None,
            on_error: None,
            on_unscanned: None,
            on_history: None,
            on_unknown_token: None,
            sampling: None,
            stream_end: None,
        }
    }
}

impl<S> GuardrailDraft<S> {
    /// Returns the draft with its scope written as `scope`, and the scope it had.
    pub fn with_scope<T>(self, scope: impl FnOnce(S) -> T) -> GuardrailDraft<T> {
        GuardrailDraft {
            preset: self.preset,
            name: self.name,
            action: self.action,
            enabled: self.enabled,
            direction: self.direction,
            scope: self.scope.map(scope),
            severity: self.severity,
            stages: self.stages,
            allow: self.allow,
            on_error: self.on_error,
            on_unscanned: self.on_unscanned,
            on_history: self.on_history,
            on_unknown_token: self.on_unknown_token,
            sampling: self.sampling,
            stream_end: self.stream_end,
        }
    }
}

impl GuardrailDraft {
    /// Returns the name and the rules of a new guardrail.
    ///
    /// # Errors
    /// What is missing, and an unknown preset, with places in the draft.
    pub fn into_new(self) -> Result<(String, GuardrailRules), Vec<Problem>> {
        let mut problems = Vec::new();
        let preset = self.preset.as_deref().map(|name| {
            GuardrailPreset::named(name).ok_or_else(|| {
                let known = GuardrailPreset::ALL.map(GuardrailPreset::name).join("`, `");
                Problem::new(
                    "preset",
                    format!("there is no guardrail preset `{name}`; known are `{known}`"),
                )
            })
        });
        let preset = match preset.transpose() {
            Ok(preset) => preset,
            Err(problem) => return Err(vec![problem]),
        };
        let name = self
            .name
            .clone()
            .or_else(|| preset.map(|preset| preset.name().to_owned()));
        for (field, is_missing) in [
            ("name", name.is_none()),
            ("stages", preset.is_none() && self.stages.is_none()),
        ] {
            if is_missing {
                problems.push(Problem::new(
                    field,
                    "is missing, and no `preset` is named that gives it",
                ));
            }
        }
        match name {
            Some(name) if problems.is_empty() => {
                let mut rules =
                    preset.map_or_else(|| GuardrailRules::new(Vec::new()), GuardrailPreset::rules);
                self.change(&mut rules);
                Ok((name, rules))
            }
            Some(_) | None => Err(problems),
        }
    }

    /// Changes `rules` as the draft says; preset and name are not rules.
    pub fn change(self, rules: &mut GuardrailRules) {
        fn set<T>(field: &mut T, value: Option<T>) {
            if let Some(value) = value {
                *field = value;
            }
        }
        set(&mut rules.enabled, self.enabled);
        set(&mut rules.direction, self.direction);
        set(&mut rules.scope, self.scope);
        set(&mut rules.severity, self.severity);
        set(&mut rules.stages, self.stages);
        set(&mut rules.allow, self.allow);
        set(&mut rules.on_error, self.on_error);
        set(&mut rules.on_unscanned, self.on_unscanned);
        set(&mut rules.on_history, self.on_history);
        set(&mut rules.on_unknown_token, self.on_unknown_token);
        set(&mut rules.sampling, self.sampling);
        set(&mut rules.stream_end, self.stream_end);
        if let Some(action) = self.action {
            for stage in &mut rules.stages {
                stage.action = action.clone();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::file::read_json;

    fn draft(text: &str) -> GuardrailDraft {
        read_json(text.as_bytes()).unwrap()
    }

    #[test]
    fn a_preset_gives_what_is_left_out() {
        let (name, rules) = draft(r#"{"preset": "secrets", "severity": "critical"}"#)
            .into_new()
            .unwrap();
        assert_eq!(name, "secrets");
        assert_eq!(rules.stages[0].action, Action::Tokenise);
        assert_eq!(rules.severity, Severity::Critical);
    }

    #[test]
    fn an_action_is_that_of_every_stage() {
        let (_, rules) = draft(r#"{"preset": "pii", "action": "block"}"#)
            .into_new()
            .unwrap();
        assert!(
            rules
                .stages
                .iter()
                .all(|stage| stage.action == Action::Block)
        );
    }

    #[test]
    fn what_is_missing_is_told() {
        let paths = |text: &str| {
            let problems = draft(text).into_new().unwrap_err();
            problems
                .into_iter()
                .map(|problem| problem.path)
                .collect::<Vec<_>>()
        };
        assert_eq!(paths("{}"), ["name", "stages"]);
        assert_eq!(paths(r#"{"preset": "secret"}"#), ["preset"]);
    }

    #[test]
    fn a_change_leaves_the_rest() {
        let mut rules = GuardrailPreset::Secrets.rules();
        draft(r#"{"enabled": false, "action": "observe"}"#).change(&mut rules);
        assert!(!rules.enabled);
        assert_eq!(rules.stages[0].action, Action::Observe);
        assert_eq!(rules.sampling, GuardrailRules::SAMPLE_ALL);
    }
}
