//! Members that send a request elsewhere: to another address, account, provider or route than policy chose.
//!
//! Gateways and providers that route take them beside the ordinary members; the choice among targets is this mesh's.

use super::names::Tail;
use super::shapes::Place;
use crate::json::{Shape, Want};

/// Refused wherever a provider interprets them.
static ANYWHERE: [Row; 16] = [
    row("api_base"),
    row("api_key"),
    row("api_version"),
    row("azure_ad_token"),
    row("base_url"),
    row("content_policy_fallbacks"),
    row("context_window_fallback_dict"),
    row("context_window_fallbacks"),
    row("custom_llm_provider"),
    row("data_sources"),
    row("extra_body"),
    row("extra_headers"),
    row("extra_query"),
    row("model_list"),
    row("provider_options"),
    row("proxy_url"),
];

/// Refused among the outermost members only; deeper, the same words mean something else.
static ON_TOP: [Row; 20] = [
    row("credentials"),
    row("deployment"),
    row("deployment_id"),
    row("deployment_name"),
    row("endpoint"),
    row("engine"),
    row("gateway"),
    row("headers"),
    row("organization"),
    row("plugins"),
    row("preset"),
    row("project"),
    row("provider"),
    row("providers"),
    row("proxy"),
    row("route"),
    row("router"),
    row("router_settings"),
    row("routing"),
    row("user_config"),
];

/// Beginnings of names that say the same of one provider.
static BEGINNINGS: [Row; 4] = [row("aws_"), row("azure_"), row("litellm_"), row("vertex_")];

/// Ends of names that say the same of one provider, without separators.
static ENDINGS: [(&str, Row); 6] = [
    ("accesskey", row("access_key")),
    ("apibase", row("api_base")),
    ("apikey", row("api_key")),
    ("baseurl", row("base_url")),
    ("credentialname", row("credential_name")),
    ("secretkey", row("secret_key")),
];

/// A name as it is told, and what stands there.
#[derive(Debug)]
struct Row(&'static str, Shape<Place>);

const fn row(name: &'static str) -> Row {
    Row(
        name,
        Shape::object(Place::Elsewhere(name), &[]).or_text(Want::Presence),
    )
}

/// Returns what stands at a member that leads elsewhere.
pub(super) fn elsewhere(tail: &Tail, key: &[u8]) -> Option<&'static Shape<Place>> {
    let begins = |name: &str| {
        key.get(..name.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(name.as_bytes()))
    };
    find(&ANYWHERE, |name| tail.is(name))
        .or_else(|| find(&BEGINNINGS, begins))
        .or_else(|| {
            ENDINGS
                .iter()
                .find_map(|(ending, Row(_, shape))| tail.ends_with(ending).then_some(shape))
        })
}

/// The same for the outermost members of a body.
pub(super) fn elsewhere_on_top(key: &[u8]) -> Option<&'static Shape<Place>> {
    let tail = Tail::of(key);
    find(&ON_TOP, |name| tail.is(name))
}

fn find(rows: &'static [Row], is_it: impl Fn(&str) -> bool) -> Option<&'static Shape<Place>> {
    rows.iter()
        .find_map(|Row(name, shape)| is_it(name).then_some(shape))
}
