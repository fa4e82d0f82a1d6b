//! Guardrails, rule files and word lists.

use policy::check::Problem;
use policy::guardrail::{
    AllowRule, Direction, GuardScope, Guardrail, OnError, OnHistory, OnUnknownToken, OnUnscanned,
    RuleFile, RuleNames, Severity, Stage, StreamEnd, WordList,
};
use policy::ids::{GuardrailId, RuleFileId, WordListId};
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use utoipa::ToSchema;

use crate::operations::schema::guardrails as schema;

/// A guardrail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct GuardrailView {
    #[schema(value_type = uuid::Uuid)]
    pub id: GuardrailId,
    pub name: String,
    /// What it does, in a sentence.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub sentence: String,
    pub enabled: bool,
    #[schema(value_type = schema::Direction)]
    pub direction: Direction,
    #[schema(value_type = schema::GuardScope)]
    pub scope: GuardScope,
    #[schema(value_type = schema::Severity)]
    pub severity: Severity,
    #[schema(value_type = Vec<schema::Stage>)]
    pub stages: Vec<Stage>,
    #[schema(value_type = Vec<schema::AllowRule>)]
    pub allow: Vec<AllowRule>,
    #[schema(value_type = schema::OnError)]
    pub on_error: OnError,
    #[schema(value_type = schema::OnUnscanned)]
    pub on_unscanned: OnUnscanned,
    #[schema(value_type = schema::OnHistory)]
    pub on_history: OnHistory,
    #[schema(value_type = schema::OnUnknownToken)]
    pub on_unknown_token: OnUnknownToken,
    /// In ten-thousandths.
    pub sampling: u16,
    #[schema(value_type = schema::StreamEnd)]
    pub stream_end: StreamEnd,
}

impl GuardrailView {
    /// Shows `guardrail`, of which `sentence` says what it does.
    pub(in crate::operations) fn new(guardrail: Guardrail, sentence: String) -> Self {
        let rules = guardrail.rules;
        Self {
            id: guardrail.id,
            name: guardrail.name,
            sentence,
            enabled: rules.enabled,
            direction: rules.direction,
            scope: rules.scope,
            severity: rules.severity,
            stages: rules.stages,
            allow: rules.allow,
            on_error: rules.on_error,
            on_unscanned: rules.on_unscanned,
            on_history: rules.on_history,
            on_unknown_token: rules.on_unknown_token,
            sampling: rules.sampling,
            stream_end: rules.stream_end,
        }
    }
}

/// A rule file, without its rules.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct RuleFileItem {
    #[schema(value_type = uuid::Uuid)]
    pub id: RuleFileId,
    pub name: String,
    pub bytes: u64,
    /// Of the source, in hex.
    pub sha256: String,
}

impl From<&RuleFile> for RuleFileItem {
    fn from(file: &RuleFile) -> Self {
        Self {
            id: file.id,
            name: file.name.clone(),
            bytes: count(file.source.len()),
            sha256: hex::encode(Sha256::digest(&file.source)),
        }
    }
}

/// A rule file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct RuleFileView {
    #[schema(value_type = uuid::Uuid)]
    pub id: RuleFileId,
    pub name: String,
    pub bytes: u64,
    /// Of the source, in hex.
    pub sha256: String,
    /// Ids of its rules, as they may stand in `disabled_rules`.
    pub rules: Vec<String>,
    /// Rules that say nothing about texts.
    pub not_applicable: Vec<NotApplicableView>,
    /// Why the source cannot be read by this version; empty for what can.
    pub problems: Vec<String>,
    pub source: String,
}

/// A rule that can find nothing in a text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct NotApplicableView {
    pub rule: String,
    pub because: String,
}

impl RuleFileView {
    pub(in crate::operations) fn new(
        file: RuleFile,
        read: Result<RuleNames, Vec<Problem>>,
    ) -> Self {
        let item = RuleFileItem::from(&file);
        let (names, problems) = match read {
            Ok(names) => (names, Vec::new()),
            Err(problems) => (RuleNames::default(), problems),
        };
        let not_applicable = names.not_applicable.into_iter();
        Self {
            id: item.id,
            name: item.name,
            bytes: item.bytes,
            sha256: item.sha256,
            rules: names.rules,
            not_applicable: not_applicable
                .map(|(rule, because)| NotApplicableView { rule, because })
                .collect(),
            problems: problems
                .iter()
                .map(|problem| problem.message.clone())
                .collect(),
            source: file.source,
        }
    }
}

/// A word list, without its words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct WordListItem {
    #[schema(value_type = uuid::Uuid)]
    pub id: WordListId,
    pub name: String,
    /// How many words and phrases it holds.
    pub count: u64,
    /// Of the words, each with a line end, in hex.
    pub sha256: String,
}

impl From<&WordList> for WordListItem {
    fn from(list: &WordList) -> Self {
        let mut digest = Sha256::new();
        for word in &list.words {
            digest.update(word);
            digest.update("\n");
        }
        Self {
            id: list.id,
            name: list.name.clone(),
            count: count(list.words.len()),
            sha256: hex::encode(digest.finalize()),
        }
    }
}

/// A word list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct WordListView {
    #[schema(value_type = uuid::Uuid)]
    pub id: WordListId,
    pub name: String,
    /// How many words and phrases it holds.
    pub count: u64,
    /// Of the words, each with a line end, in hex.
    pub sha256: String,
    pub words: Vec<String>,
}

impl From<WordList> for WordListView {
    fn from(list: WordList) -> Self {
        let item = WordListItem::from(&list);
        Self {
            id: item.id,
            name: item.name,
            count: item.count,
            sha256: item.sha256,
            words: list.words,
        }
    }
}

fn count(of: usize) -> u64 {
    u64::try_from(of).unwrap_or(u64::MAX)
}
