//! Hosts and paths that name a provider, and who may know that there is one of that name.

use dialects::refusal::RefusalCode;
use policy::access::{self, Denial};
use policy::compiled::CompiledKey;
use policy::surface::Dialect;

use super::Exchange;
use super::target::bad_model_name;
use crate::headers::Headers;
use crate::messages::Flow;
use crate::path::{Address, PathError, address};

impl Exchange {
    /// Returns name and dialect of the provider host addressed, `None` for our own hosts.
    pub(super) fn host_provider(
        &mut self,
        headers: &Headers,
    ) -> Result<Option<(String, Dialect)>, Flow> {
        let Some(mesh) = self.seed.mesh.clone() else {
            return Ok(None);
        };
        let host = headers
            .text(":authority")
            .map(without_port)
            .unwrap_or_default()
            .to_ascii_lowercase();
        if let Some(provider) = mesh
            .providers
            .iter()
            .find(|provider| provider.hosts.contains(&host))
        {
            return Ok(Some((provider.name.clone(), provider.dialect)));
        }
        if self.facts.is_canary
            || is_loopback(&host)
            || mesh.hosts.iter().any(|own| own == "*" || *own == host)
        {
            return Ok(None);
        }
        Err(self.refuse(
            RefusalCode::MisdirectedHost,
            "This mesh does not serve the host name that was asked for; an administrator can add it to the mesh's hosts.".to_owned(),
        ))
    }

    /// Finds out what the path means, at the provider of the host that was addressed if it is one's, or refuses it.
    pub(super) fn read_address(
        &mut self,
        raw_path: &str,
        host: Option<(String, Dialect)>,
        vendor: Option<Dialect>,
    ) -> Result<(), Flow> {
        let by_host = host.as_ref().map(|(_, dialect)| *dialect);
        let by_name = by_host.is_none() && raw_path.starts_with("/p/");
        let as_unknown = by_name.then(|| unknown_name(raw_path, vendor));
        let known = by_host.or_else(|| self.named_dialect(raw_path));
        let found = match (known, &as_unknown) {
            (None, Some(as_unknown)) => as_unknown.clone(),
            (known, _) => address(raw_path, known, vendor),
        };
        self.facts.as_unknown = as_unknown.and_then(Result::ok);
        let (code, message) = match found {
            Ok(mut found) => {
                found.host_provider = host.map(|(name, _)| name);
                self.addressed(found);
                return Ok(());
            }
            Err(PathError::Query(error)) => return Err(self.unreadable_query(&error)),
            Err(PathError::Ambiguous) => (
                RefusalCode::BadPath,
                "The path can be read in more than one way (escapes, `;`, dot or empty segments, other case); send it in plain form.".to_owned(),
            ),
            Err(PathError::Model(fault)) => (RefusalCode::ModelNameInvalid, bad_model_name(fault)),
            Err(PathError::Unknown) => (
                RefusalCode::UnknownPath,
                "No provider API has this path; use the provider's native paths, or /anthropic, /openai, /genai before them.".to_owned(),
            ),
        };
        Err(self.refuse(code, message))
    }

    fn addressed(&mut self, found: Address) {
        self.facts.surface = Some(found.surface);
        self.facts.dialect = found.surface.dialect();
        self.facts.streamed = found.streams;
        self.facts.address = Some(found);
    }

    /// Treats a provider that the path names and the key may not use as one that does not exist: which paths it has
    /// would tell that it does.
    pub(super) fn hide_forbidden(&mut self, key: &CompiledKey) {
        let named = self.facts.address.as_ref();
        let named = named.and_then(|address| address.provider.as_deref());
        let is_forbidden = named
            .is_some_and(|name| access::check(&key.access, name, "*") == Err(Denial::Provider));
        if is_forbidden && let Some(as_unknown) = self.facts.as_unknown.clone() {
            self.addressed(as_unknown);
        }
    }

    /// Returns the dialect of the provider that the path names by `/p/{name}/`.
    fn named_dialect(&self, raw_path: &str) -> Option<Dialect> {
        let (name, _) = raw_path.strip_prefix("/p/")?.split_once('/')?;
        let mesh = self.seed.mesh.as_ref()?;
        let provider = mesh
            .providers
            .iter()
            .find(|provider| provider.name == name)?;
        Some(provider.dialect)
    }
}

/// Reads a path that names a provider as if there were none of that name.
fn unknown_name(raw_path: &str, vendor: Option<Dialect>) -> Result<Address, PathError> {
    match address(raw_path, None, vendor) {
        Err(PathError::Unknown) => address(raw_path, vendor.or(Some(Dialect::Openai)), vendor),
        found @ (Ok(_) | Err(PathError::Ambiguous | PathError::Model(_) | PathError::Query(_))) => {
            found
        }
    }
}

fn without_port(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        Some(_) | None => authority,
    }
}

fn is_loopback(host: &str) -> bool {
    host == "localhost"
        || host == "[::1]"
        || host
            .parse::<core::net::Ipv4Addr>()
            .is_ok_and(|address| address.is_loopback())
}
