//! `weir token`: another admin token, for who may read the data folder.

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use super::data::{DataError, DataFolder};
use super::first_run::{self, FirstRunError};
use super::terminal;
use crate::operations::fields::AdminTokenFields;
use crate::operations::{Caller, OperationError, admin_tokens};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Folder of the mesh on this machine
    #[arg(
        long,
        value_name = "FOLDER",
        default_value = ".weir",
        env = "WEIR_DATA"
    )]
    data: PathBuf,
    /// Name by which the token is listed, revoked and found in the audit log
    #[arg(long)]
    name: String,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum TokenError {
    #[error(transparent)]
    Data(#[from] DataError),
    #[error(transparent)]
    FirstRun(#[from] FirstRunError),
    #[error("cannot make an admin token")]
    Create { source: OperationError },
    #[error("cannot write to standard output")]
    Print { source: io::Error },
}

/// Prints the token and nothing else.
pub(super) async fn run(args: Args) -> Result<ExitCode, TokenError> {
    first_run::close_files_to_others();
    let folder = DataFolder::existing(&args.data)?;
    let store = first_run::open_store(&folder).await?;
    let fields = AdminTokenFields {
        name: Some(args.name),
    };
    let created = admin_tokens::create(&store, &Caller::system("weir token"), fields).await;
    let created = created.map_err(|source| TokenError::Create { source })?;
    store.close().await;
    terminal::answer(created.secret.expose()).map_err(|source| TokenError::Print { source })?;
    Ok(ExitCode::SUCCESS)
}
