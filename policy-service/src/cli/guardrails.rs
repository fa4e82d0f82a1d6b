//! `weir guardrails`: presets on and off, for who may read the data folder.

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Subcommand, ValueEnum};
use policy::guardrail::{Action, Guardrail, GuardrailDraft, GuardrailPreset, RedactStyle};

use super::data::{DataError, DataFolder};
use super::first_run::{self, FirstRunError};
use super::terminal;
use crate::operations::views::GuardrailView;
use crate::operations::{Caller, OperationError, guardrails};
use crate::store::{Store, StoreError};

#[derive(Debug, clap::Args)]
#[command(after_help = "A mesh that is running enforces the change within a second.")]
pub(super) struct Args {
    /// Folder of the mesh on this machine
    #[arg(
        long,
        value_name = "FOLDER",
        default_value = ".weir",
        env = "WEIR_DATA",
        global = true
    )]
    data: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Say what each guardrail does, in the order in which they are asked
    List,
    /// Switch a guardrail on; a preset is made when there is none of its name
    Enable {
        /// A preset (`secrets`, `pii`) or the name of a guardrail
        name: String,
        /// What happens to what is found; left out, what the preset or the guardrail says
        #[arg(long)]
        action: Option<ActionWord>,
    },
    /// Switch a guardrail off; it keeps its rules
    Disable {
        /// The name of a guardrail
        name: String,
    },
}

/// An action by a word.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum ActionWord {
    /// Record, nothing else
    Observe,
    /// Refuse the request, end the answer
    Block,
    /// Put a mark in the place of the value, for good
    Redact,
    /// Put a token in the place of the value, which becomes the value again in the answer
    Tokenise,
}

impl ActionWord {
    const fn action(self) -> Action {
        match self {
            Self::Observe => Action::Observe,
            Self::Block => Action::Block,
            Self::Redact => Action::Redact(RedactStyle::Replace { with: None }),
            Self::Tokenise => Action::Tokenise,
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub(super) enum GuardrailsError {
    #[error(transparent)]
    Data(#[from] DataError),
    #[error(transparent)]
    FirstRun(#[from] FirstRunError),
    #[error("cannot read the policy")]
    Read(#[from] StoreError),
    #[error("there is no guardrail `{name}`; known are {known}")]
    Unknown { name: String, known: String },
    #[error("cannot change guardrail `{name}`")]
    Change {
        name: String,
        source: OperationError,
    },
    #[error("cannot write to standard output")]
    Print { source: io::Error },
}

/// Prints a sentence for each guardrail that is listed or was changed.
pub(super) async fn run(args: Args) -> Result<ExitCode, GuardrailsError> {
    first_run::close_files_to_others();
    let folder = DataFolder::existing(&args.data)?;
    let store = first_run::open_store(&folder).await?;
    let text = answer(&store, args.command).await?;
    store.close().await;
    terminal::answer(&text).map_err(|source| GuardrailsError::Print { source })?;
    Ok(ExitCode::SUCCESS)
}

async fn answer(store: &Store, command: Command) -> Result<String, GuardrailsError> {
    match command {
        Command::List => list(store).await,
        Command::Enable { name, action } => {
            let draft = GuardrailDraft {
                enabled: Some(true),
                action: action.map(ActionWord::action),
                ..GuardrailDraft::default()
            };
            Ok(change(store, &name, draft).await?.sentence)
        }
        Command::Disable { name } => {
            let draft = GuardrailDraft {
                enabled: Some(false),
                ..GuardrailDraft::default()
            };
            Ok(change(store, &name, draft).await?.sentence)
        }
    }
}

async fn list(store: &Store) -> Result<String, GuardrailsError> {
    let documents = store.documents().await?;
    let sentences = policy::guardrail::explain(&documents);
    if sentences.is_empty() {
        return Ok("no guardrail; `weir guardrails enable secrets` makes one".to_owned());
    }
    Ok(sentences.join("\n"))
}

/// Changes the guardrail called `name`, or makes it of the preset.
async fn change(
    store: &Store,
    name: &str,
    draft: GuardrailDraft,
) -> Result<GuardrailView, GuardrailsError> {
    let caller = Caller::system("weir guardrails");
    let documents = store.documents().await?;
    let mut known = documents.guardrails.values();
    let known: Option<&Guardrail> = known.find(|guardrail| guardrail.name == name);
    let is_off = draft.enabled == Some(false);
    let changed = match (known, GuardrailPreset::named(name)) {
        (Some(guardrail), _) => guardrails::update(store, &caller, guardrail.id, draft).await,
        (None, Some(preset)) if !is_off => {
            let preset = Some(preset.name().to_owned());
            guardrails::create(store, &caller, GuardrailDraft { preset, ..draft }).await
        }
        (None, _) => {
            let names = documents.guardrails.values().map(|it| it.name.as_str());
            let presets = GuardrailPreset::ALL.map(GuardrailPreset::name);
            let presets = presets.into_iter().filter(|_| !is_off);
            let known = names.chain(presets).map(|name| format!("`{name}`"));
            return Err(GuardrailsError::Unknown {
                name: name.to_owned(),
                known: known.collect::<Vec<_>>().join(", "),
            });
        }
    };
    changed.map_err(|source| GuardrailsError::Change {
        name: name.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn say(store: &Store, command: Command) -> String {
        match answer(store, command).await {
            Ok(text) => text,
            Err(error) => crate::cli::report(&error),
        }
    }

    fn enable(name: &str, action: Option<ActionWord>) -> Command {
        let name = name.to_owned();
        Command::Enable { name, action }
    }

    #[tokio::test]
    async fn presets_are_switched_on_changed_and_off() {
        let parent = tempfile::tempdir().unwrap();
        let folder = DataFolder::open_or_create(parent.path()).unwrap();
        let store = first_run::open_store(&folder).await.unwrap();
        let other = first_run::open_store(&folder).await.unwrap();
        let mut changes = other.changes();
        changes.mark_unchanged();
        assert!(say(&store, Command::List).await.starts_with("no guardrail"));
        let text = say(&store, enable("pii", None)).await;
        assert!(
            text.starts_with("`pii` (medium): looks for personal data"),
            "{text}"
        );
        let text = say(&store, enable("pii", Some(ActionWord::Block))).await;
        assert!(text.contains("refuses the request"), "{text}");
        let name = "pii".to_owned();
        let text = say(&store, Command::Disable { name }).await;
        assert!(text.starts_with("`pii` (medium, switched off)"), "{text}");
        assert_eq!(say(&store, Command::List).await, text);
        other.look().await.unwrap();
        assert!(
            changes.has_changed().unwrap(),
            "another process sees the change"
        );
    }

    #[tokio::test]
    async fn unknown_names_are_told_with_the_known_ones() {
        let parent = tempfile::tempdir().unwrap();
        let folder = DataFolder::open_or_create(parent.path()).unwrap();
        let store = first_run::open_store(&folder).await.unwrap();
        let text = say(&store, enable("secret", None)).await;
        assert_eq!(
            text,
            "there is no guardrail `secret`; known are `pii`, `secrets`"
        );
    }
}
