//! Shapes of quotas.

use utoipa::ToSchema;
use uuid::Uuid;

use super::Scope;

/// Fields of a quota.
#[derive(Debug, ToSchema)]
pub struct QuotaFields {
    /// Unique; lower-case letters, digits and inner `-`, at most 40. Needed for a new one.
    pub name: Option<String>,
    /// Default true.
    pub enabled: Option<bool>,
    /// Whose use it counts. Needed for a new one, and stays.
    pub node: Option<QuotaNode>,
    /// Needed for a new one, and stays.
    pub unit: Option<Unit>,
    /// In the unit; money in micro-dollars. Needed for a new one.
    pub limit: Option<u64>,
    /// Needed for every unit but `concurrent`, which has none.
    #[schema(nullable)]
    pub window: Option<QuotaWindow>,
    /// Only these models, by the name at the target: names, globs or `regex:` patterns. Nothing listed means all.
    pub models: Option<Vec<String>>,
    /// Only these providers, by name. Nothing listed means all.
    pub providers: Option<Vec<String>>,
    /// Default `hard`.
    pub mode: Option<Mode>,
    /// Default `learned`.
    pub holds: Option<Holds>,
    /// How much of the limit one user may use; for `organisation`, `customer` and `team`.
    #[schema(nullable)]
    pub member_cap: Option<u64>,
    /// What is added to the limit for a time.
    pub raises: Option<Vec<Raise>>,
    /// Shares of the limit, in percent and rising, at which someone is told.
    pub alerts: Option<Vec<u16>>,
    /// Default `deny`.
    pub on_outage: Option<OnOutage>,
    /// How long a request waits for room that others hold, at most 60,000. Default 2,000.
    pub contention_wait_ms: Option<u32>,
    /// Default `extend`.
    pub on_stream: Option<OnStream>,
    /// Whether clients see how much is left. Default `hidden`.
    pub figures: Option<Figures>,
}

/// Whose use a quota counts: the word `organisation`, or an object with exactly one field.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "snake_case")]
pub enum QuotaNode {
    Organisation,
    Customer(Uuid),
    Team(Uuid),
    User(Uuid),
    Key(Uuid),
    /// Every user of the team on their own.
    EachMember(Uuid),
    /// Every session of what the scope covers on its own.
    EachSession(Scope),
    /// Every agent of what the scope covers on its own.
    EachAgent(Scope),
}

/// What is counted.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "snake_case")]
pub enum Unit {
    MicroUsd,
    InputTokens,
    OutputTokens,
    TotalTokens,
    Requests,
    Concurrent,
}

/// At which level a quota stands.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "snake_case")]
pub enum Level {
    Agent,
    Session,
    Key,
    User,
    Team,
    Customer,
    Organisation,
}

/// Over what time the limit holds.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "snake_case")]
pub enum QuotaWindow {
    /// In every interval of this length: a minute to 366 days.
    Rolling { duration_ms: u64 },
    Calendar {
        every: Period,
        /// IANA time zone. Default `UTC`.
        zone: Option<String>,
        /// The month with which the year begins for quarters and years. Default 1.
        first_month: Option<u8>,
    },
}

/// How long a calendar window is.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "snake_case")]
pub enum Period {
    Hour,
    Day,
    Week,
    Month,
    Quarter,
    Year,
}

/// What happens when the limit is reached.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "snake_case")]
pub enum Mode {
    Hard,
    Soft,
    /// Soft until this share of the limit, more than 100.
    SoftUntil {
        percent: u16,
    },
}

/// How much is held for an exchange whose use is not known yet.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "snake_case")]
pub enum Holds {
    Learned,
    Strict,
}

/// An addition to the limit that ends by itself.
#[derive(Debug, ToSchema)]
pub struct Raise {
    pub amount: u64,
    pub until_ms: u64,
}

/// What happens to new requests while the service is away and what was leased is used up.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "snake_case")]
pub enum OnOutage {
    Deny,
    /// Each Envoy admits this much more, which is charged afterwards.
    Allow {
        outage_cap: u64,
    },
}

/// What happens to a stream that used what was held for it.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "snake_case")]
pub enum OnStream {
    Observe,
    Extend,
    Cut,
}

/// Whether clients see how much is left.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "snake_case")]
pub enum Figures {
    Hidden,
    Shown,
}

#[cfg(test)]
mod tests {
    use policy::quota as real;
    use serde_json::json;

    use super::super::tests::{check_fields, check_variants};
    use super::*;

    #[test]
    fn described_quotas_have_the_fields_of_the_real_ones() {
        let rules =
            real::QuotaRules::new(real::QuotaNode::Organisation, real::Unit::Requests, 1, None);
        let mut fields = serde_json::to_value(rules).unwrap();
        fields["name"] = json!("all");
        assert!(serde_json::from_value::<real::QuotaDraft>(fields.clone()).is_ok());
        check_fields::<QuotaFields>(fields);
        check_fields::<Raise>(json!({"amount": 1, "until_ms": 2}));
    }

    #[test]
    fn described_words_are_read_as_the_real_ones() {
        check_variants::<Unit, real::Unit>(6);
        check_variants::<Level, real::Level>(7);
        check_variants::<Period, real::Period>(6);
        check_variants::<Holds, real::Holds>(2);
        check_variants::<OnStream, real::OnStream>(3);
        check_variants::<Figures, real::Figures>(2);
    }

    #[test]
    fn described_choices_are_read_as_the_real_ones() {
        let id = "0198c0de-0000-7000-8000-000000000000";
        for node in [
            json!("organisation"),
            json!({"customer": id}),
            json!({"team": id}),
            json!({"user": id}),
            json!({"key": id}),
            json!({"each_member": id}),
            json!({"each_session": "global"}),
            json!({"each_agent": {"team": id}}),
        ] {
            assert!(
                serde_json::from_value::<real::QuotaNode>(node.clone()).is_ok(),
                "{node}"
            );
        }
        for window in [
            json!({"rolling": {"duration_ms": 60_000}}),
            json!({"calendar": {"every": "year", "zone": "UTC", "first_month": 4}}),
        ] {
            assert!(
                serde_json::from_value::<real::QuotaWindow>(window.clone()).is_ok(),
                "{window}"
            );
        }
        for mode in [
            json!("hard"),
            json!("soft"),
            json!({"soft_until": {"percent": 120}}),
        ] {
            assert!(
                serde_json::from_value::<real::Mode>(mode.clone()).is_ok(),
                "{mode}"
            );
        }
        for outage in [json!("deny"), json!({"allow": {"outage_cap": 1}})] {
            assert!(
                serde_json::from_value::<real::OnOutage>(outage.clone()).is_ok(),
                "{outage}"
            );
        }
    }
}
