//! Shapes of the policy crate's types for the API's description; never values.

use utoipa::ToSchema;

pub mod guardrails;
pub mod quotas;

/// Who may use which models at which providers. Nothing listed means nothing allowed.
#[derive(Debug, ToSchema)]
pub struct Access {
    pub providers: Option<Vec<ProviderAccess>>,
    /// Providers that are denied whatever `providers` says; names or `*`.
    pub denied_providers: Option<Vec<String>>,
    /// Models that are denied at every provider; names, globs or `regex:` patterns.
    pub denied_models: Option<Vec<String>>,
}

/// Permission to use one provider.
#[derive(Debug, ToSchema)]
pub struct ProviderAccess {
    /// A provider's name, or `*` for all, future ones too.
    pub provider: String,
    /// Names, globs or `regex:` patterns over the provider's model names. Nothing listed means none.
    pub models: Option<Vec<String>>,
    pub denied_models: Option<Vec<String>>,
    /// Names of the provider's own keys that may be used, or `*`. Nothing listed means none.
    pub provider_keys: Option<Vec<String>>,
    /// Share in the draw between providers that could serve the same model. Default 1.
    pub weight: Option<u32>,
}

/// To whom a key belongs: exactly one of the fields.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "snake_case")]
pub enum Owner {
    User(uuid::Uuid),
    Team(uuid::Uuid),
    Customer(uuid::Uuid),
}

/// Where a route applies: the word `global`, or an object with exactly one id.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "snake_case")]
pub enum Scope {
    Global,
    Customer(uuid::Uuid),
    Team(uuid::Uuid),
    User(uuid::Uuid),
    Key(uuid::Uuid),
}

/// One way to serve a route.
#[derive(Debug, ToSchema)]
pub struct RouteTarget {
    /// Provider name.
    pub provider: String,
    /// The provider's model name; left out, the name the client asked for.
    pub model: Option<String>,
    /// Lower is tried first. Default 0.
    pub priority: Option<u8>,
    /// Share among targets of one priority. Zero means fallback only. Default 1.
    pub weight: Option<u32>,
}

/// The wire format of a provider.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "snake_case")]
pub enum Dialect {
    Anthropic,
    Openai,
    Gemini,
}

/// How a provider wants its credential.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "snake_case")]
pub enum AuthStyle {
    Bearer,
    XApiKey,
    ApiKey,
    XGoogApiKey,
    None,
}

/// How the provider's path is made from the client's.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "snake_case")]
pub enum PathStyle {
    Native,
    AzureDeployments { api_version: String },
}

/// Whether a provider's chat streams may be asked for usage.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "snake_case")]
pub enum StreamUsage {
    Ask,
    Leave,
}

/// Whether a key may be used. `revoked` is for good.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "snake_case")]
pub enum KeyState {
    Active,
    Inactive,
    Revoked,
}

/// Whether a provider key may be used. `bad` is set by the service when the provider refuses the key.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "snake_case")]
pub enum ProviderKeyState {
    Active,
    Disabled,
    Bad,
}

/// Whether the client's own provider login may travel beside the key.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "snake_case")]
pub enum Subscription {
    Refused,
    Allowed,
}

/// Whether a request without a key is refused.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "snake_case")]
pub enum InferenceAuth {
    Required,
    Observe,
}

/// What a model without a price costs.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "snake_case")]
pub enum OnUnknownPrice {
    Dearest,
    Deny,
    Zero,
}

/// What happens to new requests when exchange records cannot be delivered.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "snake_case")]
pub enum OnRecordOverflow {
    Refuse,
    Drop,
}

/// What happens to what runs when its key is revoked, switched off or expires.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "snake_case")]
pub enum OnRevoke {
    /// Streams end, answers that have not begun become a refusal.
    Cut,
    /// What has reached a provider runs to its end.
    Finish,
}

/// What becomes of a request whose connection to the provider ended before it began to answer.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "snake_case")]
pub enum OnNoAnswer {
    /// It goes once more, if the connection ended within two seconds of the request's last byte.
    Again,
    /// The client is told.
    Fail,
}

/// Which addresses providers and the webhook may have: those of this machine, private and public ones, or any, which
/// link-local ones (metadata services of clouds) are, too.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "snake_case")]
pub enum OutboundAddresses {
    Ordinary,
    Any,
}

/// Prices of one model, in micro-dollars for a million tokens.
#[derive(Debug, ToSchema)]
pub struct Rates {
    pub input_micro_usd_per_mtok: u64,
    /// Default: what input costs.
    pub cache_read_micro_usd_per_mtok: Option<u64>,
    /// Default: what input costs.
    pub cache_write_5m_micro_usd_per_mtok: Option<u64>,
    /// Default: what five-minute writes cost.
    pub cache_write_1h_micro_usd_per_mtok: Option<u64>,
    pub output_micro_usd_per_mtok: u64,
    /// Default 0.
    pub web_search_micro_usd_per_request: Option<u64>,
    pub long_context: Option<LongContext>,
}

/// Prices of a request whose whole input is longer than a threshold.
#[derive(Debug, ToSchema)]
pub struct LongContext {
    pub over_input_tokens: u64,
    pub input_micro_usd_per_mtok: u64,
    pub cache_read_micro_usd_per_mtok: Option<u64>,
    pub cache_write_5m_micro_usd_per_mtok: Option<u64>,
    pub cache_write_1h_micro_usd_per_mtok: Option<u64>,
    pub output_micro_usd_per_mtok: u64,
}

/// A price of the administrator's own.
#[derive(Debug, ToSchema)]
pub struct PriceOverride {
    /// A table of the book, or one of your own, as providers name it.
    pub table: String,
    /// A model name, glob or `regex:` pattern.
    pub model: String,
    pub rates: Rates,
}

/// Token classes. The input classes are disjoint: their sum is the whole input. `reasoning_tokens` is a part of
/// `output_tokens`.
#[derive(Debug, ToSchema)]
pub struct Usage {
    pub input_tokens: u64,
    pub cache_read_tokens: u64,
    pub cache_write_5m_tokens: u64,
    pub cache_write_1h_tokens: u64,
    pub output_tokens: u64,
    pub reasoning_tokens: u64,
    pub web_search_requests: u64,
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use policy::documents as real;
    use policy::{price, surface, usage};
    use serde::Serialize;
    use serde::de::DeserializeOwned;
    use serde_json::{Value, json};
    use utoipa::PartialSchema;

    use super::*;

    fn schema<S: PartialSchema>() -> Value {
        serde_json::to_value(S::schema()).unwrap()
    }

    /// `sample` must have every field.
    #[track_caller]
    pub(super) fn check_fields<S: PartialSchema>(sample: impl Serialize) {
        let described = schema::<S>();
        let described: BTreeSet<_> = described["properties"]
            .as_object()
            .unwrap()
            .keys()
            .collect();
        let sample = serde_json::to_value(sample).unwrap();
        assert_eq!(described, sample.as_object().unwrap().keys().collect());
    }

    /// Every word and every tagged value of the description is read.
    #[track_caller]
    pub(super) fn check_variants<S: PartialSchema, T: DeserializeOwned>(count: usize) {
        let described = schema::<S>();
        let choices = described["oneOf"]
            .as_array()
            .cloned()
            .unwrap_or(vec![described]);
        let mut read = 0;
        for choice in choices {
            for word in choice["enum"].as_array().unwrap_or(&Vec::new()) {
                assert!(serde_json::from_value::<T>(word.clone()).is_ok(), "{word}");
                read += 1;
            }
            for tag in choice["properties"]
                .as_object()
                .into_iter()
                .flat_map(|tags| tags.keys())
            {
                let contents = [
                    json!("0198c0de-0000-7000-8000-000000000000"),
                    json!({"api_version": "1"}),
                ];
                let is_read = |content| serde_json::from_value::<T>(json!({tag: content})).is_ok();
                assert!(contents.into_iter().any(is_read), "{tag}");
                read += 1;
            }
        }
        assert_eq!(read, count);
    }

    #[test]
    fn described_objects_have_the_fields_of_the_real_ones() {
        check_fields::<Access>(real::Access::default());
        let entry = json!({"provider": "openai"});
        check_fields::<ProviderAccess>(
            serde_json::from_value::<real::ProviderAccess>(entry).unwrap(),
        );
        let target = json!({"provider": "openai"});
        check_fields::<RouteTarget>(serde_json::from_value::<real::RouteTarget>(target).unwrap());
        check_fields::<Usage>(usage::Usage::default());
        let long_context = price::LongContext {
            cache_read: Some(Default::default()),
            cache_write_5m: Some(Default::default()),
            cache_write_1h: Some(Default::default()),
            ..Default::default()
        };
        check_fields::<LongContext>(long_context);
        let rates = price::Rates {
            cache_read: Some(Default::default()),
            cache_write_5m: Some(Default::default()),
            cache_write_1h: Some(Default::default()),
            long_context: Some(long_context),
            ..Default::default()
        };
        check_fields::<Rates>(rates);
        let own = json!({"table": "a", "model": "b", "rates": rates});
        check_fields::<PriceOverride>(serde_json::from_value::<price::PriceOverride>(own).unwrap());
    }

    #[test]
    fn described_words_are_read_as_the_real_ones() {
        check_variants::<Owner, real::Owner>(3);
        check_variants::<Scope, real::Scope>(5);
        check_variants::<Dialect, surface::Dialect>(3);
        check_variants::<AuthStyle, real::AuthStyle>(5);
        check_variants::<PathStyle, real::PathStyle>(2);
        check_variants::<StreamUsage, real::StreamUsage>(2);
        check_variants::<KeyState, real::KeyState>(3);
        check_variants::<ProviderKeyState, real::ProviderKeyState>(3);
        check_variants::<Subscription, real::Subscription>(2);
        check_variants::<InferenceAuth, real::InferenceAuth>(2);
        check_variants::<OnUnknownPrice, real::OnUnknownPrice>(3);
        check_variants::<OnRecordOverflow, real::OnRecordOverflow>(2);
        check_variants::<OnRevoke, real::OnRevoke>(2);
        check_variants::<OnNoAnswer, real::OnNoAnswer>(2);
        check_variants::<OutboundAddresses, real::OutboundAddresses>(2);
    }
}
