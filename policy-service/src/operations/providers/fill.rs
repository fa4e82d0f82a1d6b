//! From fields to a provider: presets, defaults, and what is missing.

use policy::documents::{BaseUrl, PathStyle, Provider, ProviderKey, ProviderKeyState, StreamUsage};
use policy::ids::{ProviderId, ProviderKeyId};
use policy::presets::{Preset, default_auth, default_price_table};
use policy::secret::Secret;
use uuid::Uuid;

use super::super::OperationError;
use super::super::fields::{Problems, ProviderFields, ProviderKeyFields};

const STREAM_HEADER_TIMEOUT_MS: u64 = 60_000;
const WHOLE_HEADER_TIMEOUT_MS: u64 = 600_000;

/// Makes a provider of fields; what is left out is the preset's, or usual for the dialect.
pub(super) fn new_provider(fields: ProviderFields) -> Result<Provider, OperationError> {
    let mut problems = Problems::default();
    let preset = fields
        .preset
        .as_deref()
        .and_then(|name| find_preset(&mut problems, name));
    let has_unknown_preset = fields.preset.is_some() && preset.is_none();
    let name = fields.name.or(preset.map(|preset| preset.name.to_owned()));
    let dialect = fields.dialect.or(preset.map(|preset| preset.dialect));
    let base_url = fields
        .base_url
        .or(preset.map(|preset| preset.base_url.to_owned()));
    if !has_unknown_preset {
        for (field, is_missing) in [
            ("name", name.is_none()),
            ("dialect", dialect.is_none()),
            ("base_url", base_url.is_none()),
        ] {
            if is_missing {
                problems.add(field, "is missing, and no `preset` is named that gives it");
            }
        }
    }
    let base_url = base_url.and_then(|text| read_base_url(&mut problems, &text));
    let price_table = fields.price_table.or_else(|| {
        let usual = preset.map(|preset| preset.price_table);
        usual
            .or(base_url.as_ref().and_then(default_price_table))
            .map(str::to_owned)
    });
    if price_table.is_none() && base_url.is_some() {
        let message = "is missing, and cannot be told from `base_url`; `free` costs nothing";
        problems.add("price_table", message);
    }
    let mut keys = Vec::new();
    for (number, key) in fields.keys.unwrap_or_default().into_iter().enumerate() {
        keys.extend(new_key(&mut problems, &format!("keys[{number}]."), key));
    }
    let whole = name.zip(dialect).zip(base_url).zip(price_table);
    let (((name, dialect), base_url), price_table) = problems.complete(whole)?;
    let shows_usual_models = fields.models.is_none();
    let usual_listed = || {
        preset
            .filter(|_| shows_usual_models)
            .map(Preset::listed_models)
            .unwrap_or_default()
    };
    Ok(Provider {
        id: ProviderId::new(Uuid::now_v7()),
        name,
        dialect,
        base_url,
        auth: fields.auth.unwrap_or_else(|| default_auth(dialect)),
        path_style: fields.path_style.unwrap_or(PathStyle::Native),
        hosts: fields
            .hosts
            .unwrap_or_else(|| preset.map(Preset::hosts).unwrap_or_default()),
        listed_models: fields.listed_models.unwrap_or_else(usual_listed),
        models: fields
            .models
            .unwrap_or_else(|| preset.map(Preset::models).unwrap_or_default()),
        keys,
        stream_usage: fields.stream_usage.unwrap_or(StreamUsage::Ask),
        price_table,
        stream_header_timeout_ms: fields
            .stream_header_timeout_ms
            .unwrap_or(STREAM_HEADER_TIMEOUT_MS),
        whole_header_timeout_ms: fields
            .whole_header_timeout_ms
            .unwrap_or(WHOLE_HEADER_TIMEOUT_MS),
        idle_timeout_ms: fields.idle_timeout_ms,
        on_no_answer: fields.on_no_answer.unwrap_or_default(),
        pass_request_headers: fields.pass_request_headers.unwrap_or_default(),
        pass_response_headers: fields.pass_response_headers.unwrap_or_default(),
        set_request_headers: fields.set_request_headers.unwrap_or_default(),
    })
}

/// Changes a provider as the fields say.
pub(super) fn apply(fields: ProviderFields, provider: &mut Provider) -> Result<(), OperationError> {
    let ProviderFields {
        preset,
        name,
        dialect,
        base_url,
        auth,
        path_style,
        hosts,
        models,
        listed_models,
        keys,
        stream_usage,
        price_table,
        stream_header_timeout_ms,
        whole_header_timeout_ms,
        idle_timeout_ms,
        on_no_answer,
        pass_request_headers,
        pass_response_headers,
        set_request_headers,
    } = fields;
    let mut problems = Problems::default();
    if preset.is_some() {
        problems.add("preset", "is for new providers only");
    }
    if keys.is_some() {
        problems.add(
            "keys",
            "have an address of their own: `/api/v1/providers/{id}/keys`",
        );
    }
    let base_url = base_url.and_then(|text| read_base_url(&mut problems, &text));
    problems.refuse_any()?;
    replace(&mut provider.name, name);
    replace(&mut provider.dialect, dialect);
    replace(&mut provider.base_url, base_url);
    replace(&mut provider.auth, auth);
    replace(&mut provider.path_style, path_style);
    replace(&mut provider.hosts, hosts);
    replace(&mut provider.models, models);
    replace(&mut provider.listed_models, listed_models);
    replace(&mut provider.stream_usage, stream_usage);
    replace(&mut provider.price_table, price_table);
    replace(
        &mut provider.stream_header_timeout_ms,
        stream_header_timeout_ms,
    );
    replace(
        &mut provider.whole_header_timeout_ms,
        whole_header_timeout_ms,
    );
    provider.idle_timeout_ms = idle_timeout_ms.or(provider.idle_timeout_ms);
    replace(&mut provider.on_no_answer, on_no_answer);
    replace(&mut provider.pass_request_headers, pass_request_headers);
    replace(&mut provider.pass_response_headers, pass_response_headers);
    replace(&mut provider.set_request_headers, set_request_headers);
    Ok(())
}

/// Makes a provider key; `at` is where its fields stand, with a dot at the end.
pub(super) fn new_key(
    problems: &mut Problems,
    at: &str,
    fields: ProviderKeyFields,
) -> Option<ProviderKey> {
    let name = problems.need(&format!("{at}name"), fields.name);
    let secret = problems.need(&format!("{at}secret"), fields.secret);
    let state = fields.state.unwrap_or(ProviderKeyState::Active);
    check_state(problems, &format!("{at}state"), state);
    let (name, secret): (String, Secret) = name.zip(secret)?;
    Some(ProviderKey {
        id: ProviderKeyId::new(Uuid::now_v7()),
        name,
        secret,
        weight: fields.weight.unwrap_or(1),
        state,
    })
}

/// An administrator cannot know that a key is bad better than by switching it off.
pub(super) fn check_state(problems: &mut Problems, path: &str, state: ProviderKeyState) {
    if state == ProviderKeyState::Bad {
        problems.add(
            path,
            "`bad` is what the service finds out; write `active` or `disabled`",
        );
    }
}

pub(super) fn replace<T>(place: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *place = value;
    }
}

fn find_preset(problems: &mut Problems, name: &str) -> Option<&'static Preset> {
    let preset = Preset::named(name);
    if preset.is_none() {
        let known = Preset::ALL.map(|preset| preset.name).join("`, `");
        problems.add(
            "preset",
            format!("there is no preset `{name}`; known are `{known}`"),
        );
    }
    preset
}

fn read_base_url(problems: &mut Problems, text: &str) -> Option<BaseUrl> {
    text.parse()
        .map_err(|error| problems.add("base_url", format!("{error}")))
        .ok()
}
