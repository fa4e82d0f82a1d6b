//! Where the ledger of quotas is kept, as the command line says it.

use std::convert::Infallible;

use policy::secret::Secret;

use super::data::DataFolder;
use crate::ledger::opening::{OpenError, Opened, Places};

#[derive(Debug, clap::Args)]
pub(super) struct LedgerArgs {
    /// PostgreSQL database (`postgres://…`) that keeps the ledger of quotas for several replicas; a file in the data
    /// folder if not given
    #[arg(
        long,
        value_name = "URL",
        env = "WEIR_LEDGER_URL",
        hide_env_values = true,
        value_parser = secret
    )]
    ledger_url: Option<Secret>,
    /// Redis (`redis://…`) that keeps quotas over ten minutes or less that are not money; kept in the ledger if not
    /// given
    #[arg(
        long,
        value_name = "URL",
        env = "WEIR_HOT_URL",
        hide_env_values = true,
        value_parser = secret
    )]
    hot_url: Option<Secret>,
}

fn secret(text: &str) -> Result<Secret, Infallible> {
    Ok(Secret::new(text))
}

impl LedgerArgs {
    /// Whether several replicas may run beside each other.
    pub(super) const fn is_shared(&self) -> bool {
        self.ledger_url.is_some()
    }

    /// Opens the ledger.
    pub(super) async fn open(&self, folder: &DataFolder) -> Result<Opened, OpenError> {
        let places = Places {
            file: folder.ledger(),
            url: self.ledger_url.clone(),
            hot_url: self.hot_url.clone(),
        };
        Opened::open(&places).await
    }
}
