//! A guardrail in a sentence, for whoever has to answer for it.

use core::fmt::Display;

use super::{
    Action, Detector, Direction, GuardScope, Guardrail, GuardrailRules, OnError, OnHistory,
    OnUnscanned, RedactStyle, Stage, TextRole,
};
use crate::documents::Documents;

/// Says in one sentence what `guardrail` looks for, where, what happens then, and what happens where it cannot
/// tell. Ids in its scope are called by their names in `documents`.
pub fn describe(guardrail: &Guardrail, documents: &Documents) -> String {
    let rules = &guardrail.rules;
    let mut parts = Vec::new();
    let place = place(&rules.scope, documents);
    for (number, stage) in rules.stages.iter().enumerate() {
        let looks = detectors(&stage.detectors);
        let first = match number {
            0 => format!("looks for {looks} in {}{place}", texts(rules)),
            _ => format!("where nothing of that acted, looks for {looks}"),
        };
        parts.push(format!("{first} and {}", action(stage, rules.direction)));
    }
    parts.push(
        match rules.on_error {
            OnError::Block => "what cannot be judged is refused",
            OnError::Pass => "what cannot be judged passes",
        }
        .to_owned(),
    );
    parts.push(
        match rules.on_unscanned {
            OnUnscanned::Pass => "images and files pass unread",
            OnUnscanned::Block => "images and files are refused",
        }
        .to_owned(),
    );
    let blocks = rules
        .stages
        .iter()
        .any(|stage| stage.action == Action::Block);
    if blocks && rules.direction.covers_requests() {
        parts.push(
            match rules.on_history {
                OnHistory::Redact => "in earlier turns it is redacted instead",
                OnHistory::Block => "earlier turns are judged like new ones",
            }
            .to_owned(),
        );
    }
    if rules.sampling < GuardrailRules::SAMPLE_ALL {
        let (whole, rest) = (rules.sampling / 100, rules.sampling % 100);
        parts.push(format!(
            "only {whole}.{rest:02} % of exchanges are looked at"
        ));
    }
    let state = if rules.enabled { "" } else { ", switched off" };
    let severity = rules.severity.name();
    format!(
        "`{}` ({severity}{state}): {}.",
        guardrail.name,
        parts.join("; ")
    )
}

fn texts(rules: &GuardrailRules) -> String {
    let way = match rules.direction {
        Direction::Request => "requests",
        Direction::Response => "answers",
        Direction::Both => "requests and answers",
    };
    if rules.scope.roles.is_empty() {
        return way.to_owned();
    }
    let roles = rules.scope.roles.iter().map(|role| role_words(*role));
    format!("the {} of {way}", and(roles))
}

const fn role_words(role: TextRole) -> &'static str {
    match role {
        TextRole::System => "system texts",
        TextRole::User => "user texts",
        TextRole::Assistant => "assistant texts",
        TextRole::ToolArguments => "tool arguments",
        TextRole::ToolResult => "tool results",
        TextRole::Thinking => "thinking",
        TextRole::Attachment => "attachments",
    }
}

fn place(scope: &GuardScope, documents: &Documents) -> String {
    let mut who = Vec::new();
    let unknown = "?";
    for id in &scope.customers {
        let found = documents.customers.get(id);
        who.push(format!(
            "customer `{}`",
            found.map_or(unknown, |it| &it.name)
        ));
    }
    for id in &scope.teams {
        let found = documents.teams.get(id);
        who.push(format!("team `{}`", found.map_or(unknown, |it| &it.name)));
    }
    for id in &scope.users {
        let found = documents.users.get(id);
        who.push(format!("user `{}`", found.map_or(unknown, |it| &it.name)));
    }
    for id in &scope.keys {
        let found = documents.keys.get(id);
        who.push(format!("key `{}`", found.map_or(unknown, |it| &it.name)));
    }
    let mut place = String::new();
    if !who.is_empty() {
        place.push_str(&format!(" of {}", and(who)));
    }
    if !scope.models.is_empty() {
        let names = quoted(&scope.models);
        place.push_str(&format!(" for models {names}"));
    }
    if !scope.providers.is_empty() {
        let names = quoted(&scope.providers);
        place.push_str(&format!(" at providers {names}"));
    }
    if !scope.surfaces.is_empty() {
        let names = quoted(scope.surfaces.iter().map(|surface| surface.name()));
        place.push_str(&format!(" on {names}"));
    }
    place
}

fn detectors(detectors: &[Detector]) -> String {
    and(detectors.iter().map(|detector| match detector {
        Detector::Secrets { disabled_rules } => format!("secrets{}", without(disabled_rules)),
        Detector::RuleFile {
            name,
            disabled_rules,
        } => format!(
            "what the rule file `{name}` describes{}",
            without(disabled_rules)
        ),
        Detector::Pii { entities } if entities.is_empty() => "personal data".to_owned(),
        Detector::Pii { entities } => format!("personal data ({})", quoted(entities)),
        Detector::Words { list } => format!("the words of the list `{list}`"),
        Detector::Regex { id, .. } => format!("the expression `{id}`"),
        Detector::HiddenText => "hidden text".to_owned(),
        Detector::Injection { acts: true } => "phrases of prompt injection".to_owned(),
        Detector::Injection { acts: false } => {
            "phrases of prompt injection, which it only records,".to_owned()
        }
        Detector::External { service, .. } => format!("what the service `{service}` finds"),
    }))
}

fn without(rules: &[String]) -> String {
    if rules.is_empty() {
        String::new()
    } else {
        format!(" (without {})", quoted(rules))
    }
}

fn action(stage: &Stage, direction: Direction) -> String {
    match &stage.action {
        Action::Observe => "records what it finds".to_owned(),
        Action::Block => match direction {
            Direction::Request => "refuses the request",
            Direction::Response => "ends the answer",
            Direction::Both => "refuses the request or ends the answer",
        }
        .to_owned(),
        Action::Redact(RedactStyle::Replace { with: None }) => {
            "puts `[REDACTED:<rule>]` in the place of what it finds".to_owned()
        }
        Action::Redact(RedactStyle::Replace { with: Some(text) }) => {
            format!("puts `{}` in the place of what it finds", text.escape_debug())
        }
        Action::Redact(RedactStyle::Mask) => "masks what it finds".to_owned(),
        Action::Redact(RedactStyle::Hash) => "puts a hash in the place of what it finds".to_owned(),
        Action::Tokenise => match direction {
            Direction::Request | Direction::Response => {
                "puts a token in the place of what it finds, which becomes the value again in the answer"
            }
            Direction::Both => {
                "puts a token in the place of what it finds, which becomes the value again in the answer (in \
                 answers it only records)"
            }
        }
        .to_owned(),
    }
}

fn quoted(names: impl IntoIterator<Item = impl Display>) -> String {
    let names = names.into_iter().map(|name| format!("`{name}`"));
    names.collect::<Vec<_>>().join(", ")
}

fn and(words: impl IntoIterator<Item = impl Into<String>>) -> String {
    let mut words = words.into_iter().map(Into::into).collect::<Vec<String>>();
    match words.pop() {
        Some(last) if !words.is_empty() => format!("{} and {last}", words.join(", ")),
        Some(only) => only,
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::fixture::patterns;
    use crate::guardrail::GuardrailPreset;
    use crate::ids::{GuardrailId, TeamId};

    #[track_caller]
    fn check(name: &str, rules: GuardrailRules, want: &str) {
        let id = GuardrailId::new(Uuid::from_u128(1));
        let guardrail = Guardrail {
            id,
            name: name.to_owned(),
            rules,
        };
        assert_eq!(describe(&guardrail, &Documents::default()), want);
    }

    #[test]
    fn presets_are_told_in_a_sentence() {
        check(
            "secrets",
            GuardrailPreset::Secrets.rules(),
            "`secrets` (high): looks for secrets in requests and answers and puts a token in the place of what it \
             finds, which becomes the value again in the answer (in answers it only records); what cannot be judged \
             is refused; images and files pass unread.",
        );
        check(
            "pii",
            GuardrailPreset::Pii.rules(),
            "`pii` (medium): looks for personal data in requests and answers and puts `[REDACTED:<rule>]` in the \
             place of what it finds; what cannot be judged is refused; images and files pass unread.",
        );
    }

    #[test]
    fn scopes_stages_and_shares_are_told() {
        let mut rules = GuardrailPreset::Pii.rules();
        rules.direction = Direction::Request;
        rules.enabled = false;
        rules.sampling = 1_250;
        rules.scope.teams = vec![TeamId::new(Uuid::from_u128(7))];
        rules.scope.models = patterns(&["gpt-*"]);
        rules.scope.roles = vec![TextRole::User, TextRole::ToolResult];
        rules.stages.push(Stage {
            detectors: vec![Detector::HiddenText, Detector::Injection { acts: true }],
            action: Action::Block,
        });
        check(
            "x",
            rules,
            "`x` (medium, switched off): looks for personal data in the user texts and tool results of requests of \
             team `?` for models `gpt-*` and puts `[REDACTED:<rule>]` in the place of what it finds; where nothing \
             of that acted, looks for hidden text and phrases of prompt injection and refuses the request; what \
             cannot be judged is refused; images and files pass unread; in earlier turns it is redacted instead; \
             only 12.50 % of exchanges are looked at.",
        );
    }
}
