//! Providers and their keys.

use std::collections::{BTreeMap, BTreeSet};

use super::{Checker, Node, is_label, label_rule, name_rule};
use crate::documents::base_url::is_host;
use crate::documents::{AuthStyle, NOT_ORDINARY, PathStyle, Provider};
use crate::header::{HeaderWay, check_passed, check_set};
use crate::key::holds_virtual_key;
use crate::surface::Dialect;

const MAX_HEADER_TIMEOUT_MS: u64 = 3_600_000;
const IDLE_TIMEOUT_MS: core::ops::RangeInclusive<u64> = 1_000..=3_600_000;

/// Each of a provider's three lists of headers.
const MAX_HEADERS: usize = 64;
const MAX_HEADER_VALUE_BYTES: usize = 1024;

/// Largest weight; the sum of all weights of a group then fits every arithmetic on them.
pub(super) const MAX_WEIGHT: u32 = 1_000_000;

impl Checker<'_> {
    pub(super) fn providers(&mut self) {
        let documents = self.documents;
        let mut hosts: BTreeMap<&str, String> = BTreeMap::new();
        let mut names: BTreeMap<&str, String> = BTreeMap::new();
        for (id, provider) in &documents.providers {
            let at = self.at(Node::Provider(*id));
            if !is_label(&provider.name) {
                self.add(format!("{at}.name"), label_rule("a provider"));
            }
            if let Some(first) = names.insert(&provider.name, format!("{at}.name")) {
                let message = format!(
                    "`{}` is the name of another provider already, at `{first}`",
                    provider.name
                );
                self.add(format!("{at}.name"), message);
            }
            self.provider(&at, provider);
            for (number, host) in provider.hosts.iter().enumerate() {
                let path = format!("{at}.hosts[{number}]");
                self.host(&path, host);
                if documents.settings.hosts.contains(host) {
                    let message =
                        format!("`{host}` is a name of the mesh itself, in `settings.hosts`");
                    self.add(path.clone(), message);
                }
                if let Some(first) = hosts.insert(host, path.clone()) {
                    self.add(path, format!("`{host}` is claimed already, at `{first}`"));
                }
            }
        }
    }

    fn provider(&mut self, at: &str, provider: &Provider) {
        let url = &provider.base_url;
        if !is_host(&url.host) || url.port == 0 || !is_path(&url.path) {
            self.add(
                format!("{at}.base_url"),
                format!("`{url}` is not a base URL"),
            );
        } else if !self
            .documents
            .settings
            .outbound_addresses
            .admits_host(&url.host)
        {
            self.add(format!("{at}.base_url"), NOT_ORDINARY);
        }
        for (field, value) in [
            (
                "stream_header_timeout_ms",
                provider.stream_header_timeout_ms,
            ),
            ("whole_header_timeout_ms", provider.whole_header_timeout_ms),
        ] {
            if !(1..=MAX_HEADER_TIMEOUT_MS).contains(&value) {
                self.add(
                    format!("{at}.{field}"),
                    format!("must be from 1 to {MAX_HEADER_TIMEOUT_MS}"),
                );
            }
        }
        if provider
            .idle_timeout_ms
            .is_some_and(|idle| !IDLE_TIMEOUT_MS.contains(&idle))
        {
            let (from, to) = IDLE_TIMEOUT_MS.into_inner();
            self.add(
                format!("{at}.idle_timeout_ms"),
                format!("must be from {from} to {to}"),
            );
        }
        for (number, model) in provider.listed_models.iter().enumerate() {
            if !provider.models.iter().any(|pattern| pattern.matches(model)) {
                let message =
                    format!("`{model}` would never be shown: no pattern in `models` covers it");
                self.add(format!("{at}.listed_models[{number}]"), message);
            }
        }
        self.models_in_path(at, provider);
        if let PathStyle::AzureDeployments { api_version } = &provider.path_style {
            let path = format!("{at}.path_style");
            if provider.dialect != Dialect::Openai {
                self.add(
                    path.clone(),
                    "`azure_deployments` is for the `openai` dialect",
                );
            }
            let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
            if api_version.is_empty() || !api_version.chars().all(is_plain) {
                let message = "must be a version as in `2024-10-21`";
                self.add(format!("{path}.azure_deployments.api_version"), message);
            }
        }
        self.provider_credentials(at, provider);
        self.provider_headers(at, provider);
    }

    fn provider_headers(&mut self, at: &str, provider: &Provider) {
        for (field, names, way) in [
            (
                "pass_request_headers",
                &provider.pass_request_headers,
                HeaderWay::Request,
            ),
            (
                "pass_response_headers",
                &provider.pass_response_headers,
                HeaderWay::Response,
            ),
        ] {
            self.not_too_many(&format!("{at}.{field}"), names.len());
            for (number, name) in names.iter().enumerate() {
                if let Err(error) = check_passed(name, way) {
                    self.add(
                        format!("{at}.{field}[{number}]"),
                        format!("`{name}` {error}"),
                    );
                }
            }
        }
        let at = format!("{at}.set_request_headers");
        self.not_too_many(&at, provider.set_request_headers.len());
        for (name, value) in &provider.set_request_headers {
            if let Err(error) = check_set(name) {
                self.add(format!("{at}.{name}"), format!("`{name}` {error}"));
            }
            let is_visible = |byte: u8| byte.is_ascii_graphic() || byte == b' ';
            if value.is_empty()
                || value.len() > MAX_HEADER_VALUE_BYTES
                || value.trim() != value
                || !value.bytes().all(is_visible)
            {
                let message = format!(
                    "must be visible ASCII without spaces at its ends, from 1 to {MAX_HEADER_VALUE_BYTES} bytes"
                );
                self.add(format!("{at}.{name}"), message);
            } else if holds_virtual_key(value.as_bytes()) {
                self.add(
                    format!("{at}.{name}"),
                    "holds a virtual key, which no provider may see",
                );
            }
        }
    }

    fn not_too_many(&mut self, at: &str, headers: usize) {
        if headers > MAX_HEADERS {
            self.add(
                at.to_owned(),
                format!("lists {headers} headers; at most {MAX_HEADERS} are"),
            );
        }
    }

    fn models_in_path(&mut self, at: &str, provider: &Provider) {
        let place = provider.model_place();
        let patterns = provider.models.iter().enumerate().map(|(number, pattern)| {
            (
                format!("{at}.models[{number}]"),
                pattern.as_str(),
                place.check_pattern(pattern),
            )
        });
        let listed = provider.listed_models.iter().enumerate();
        let listed = listed.map(|(number, model)| {
            (
                format!("{at}.listed_models[{number}]"),
                model.as_str(),
                place.check(model),
            )
        });
        for (path, name, checked) in patterns.chain(listed) {
            if let Err(fault) = checked {
                let message = format!(
                    "`{}` would never be served, because it cannot stand in this provider's paths, which name the model: {fault}",
                    name.escape_debug()
                );
                self.add(path, message);
            }
        }
    }

    fn provider_credentials(&mut self, at: &str, provider: &Provider) {
        if provider.auth == AuthStyle::None && !provider.keys.is_empty() {
            let message =
                "would never be used, because `auth` is `none`; remove them or set `auth`";
            self.add(format!("{at}.keys"), message);
        }
        let mut names = BTreeSet::new();
        for (number, key) in provider.keys.iter().enumerate() {
            let at = format!("{at}.keys[{number}]");
            if let Err(message) = name_rule(&key.name) {
                self.add(format!("{at}.name"), message);
            } else if key.name == "*" {
                self.add(
                    format!("{at}.name"),
                    "`*` means every key; give this one a name",
                );
            }
            if !names.insert(&key.name) {
                let message = format!(
                    "`{}` is the name of another key of this provider already",
                    key.name
                );
                self.add(format!("{at}.name"), message);
            }
            let secret = key.secret.expose();
            if secret.is_empty() || !secret.bytes().all(|byte| byte.is_ascii_graphic()) {
                let message = "must be visible ASCII without spaces, as it goes into a header";
                self.add(format!("{at}.secret"), message);
            }
            self.weight(&at, key.weight);
        }
    }

    pub(super) fn weight(&mut self, at: &str, weight: u32) {
        if weight > MAX_WEIGHT {
            self.add(
                format!("{at}.weight"),
                format!("must be at most {MAX_WEIGHT}"),
            );
        }
    }
}

fn is_path(path: &str) -> bool {
    path.is_empty()
        || path.strip_prefix('/').is_some_and(|rest| {
            rest.split('/')
                .all(|segment| !matches!(segment, "" | "." | ".."))
                && rest
                    .chars()
                    .all(|c| c.is_ascii_graphic() && !matches!(c, '?' | '#' | '%' | '\\'))
        })
}
