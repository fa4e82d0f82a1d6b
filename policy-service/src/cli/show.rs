//! `weir show`: how to use the mesh of a data folder.

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use super::data::{DataError, DataFolder};
use super::endpoint::Addresses;
use super::gemini_settings::{self, GeminiSettingsError};
use super::greeting::Greeting;
use super::terminal;

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
    /// Print the virtual key and nothing else
    #[arg(long)]
    key: bool,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum ShowError {
    #[error(transparent)]
    Data(#[from] DataError),
    #[error(transparent)]
    GeminiSettings(#[from] GeminiSettingsError),
    #[error("the mesh in `{path}` has not been up yet: start it with `weir up`")]
    NotYetUp { path: PathBuf },
    #[error("cannot write to standard output")]
    Print { source: io::Error },
}

/// Prints what `weir up` printed, the admin token aside.
pub(super) fn run(args: &Args) -> Result<ExitCode, ShowError> {
    let folder = DataFolder::existing(&args.data)?;
    let not_yet_up = || ShowError::NotYetUp {
        path: args.data.clone(),
    };
    let key_file = folder.virtual_key();
    let key = folder.read_secret(&key_file)?.ok_or_else(not_yet_up)?;
    let text = if args.key {
        key.expose().to_owned()
    } else {
        let addresses = Addresses::load(&folder)?.ok_or_else(not_yet_up)?;
        let gemini_settings = gemini_settings::write(Some(folder.root()))?;
        Greeting {
            addresses: &addresses,
            key: &key,
            key_file: &key_file,
            gemini_settings: &gemini_settings,
            admin_token: None,
        }
        .text()
    };
    terminal::answer(&text).map_err(|source| ShowError::Print { source })?;
    Ok(ExitCode::SUCCESS)
}
