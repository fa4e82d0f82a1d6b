//! A quota as it is written: everything may be left out.

use serde::{Deserialize, Deserializer};

use super::{
    Figures, Holds, Mode, OnOutage, OnStream, QuotaNode, QuotaRules, QuotaWindow, Raise, Unit,
};
use crate::check::Problem;
use crate::pattern::ModelPattern;

/// Fields of a quota to be made, or those of one that are to change. `N` is how nodes are written: with ids or with
/// names.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QuotaDraft<N = QuotaNode> {
    pub name: Option<String>,
    pub enabled: Option<bool>,
    pub node: Option<N>,
    pub unit: Option<Unit>,
    pub limit: Option<u64>,
    /// `null` leaves the quota without one.
    #[serde(default = "nothing", deserialize_with = "nullable")]
    pub window: Option<Option<QuotaWindow>>,
    pub models: Option<Vec<ModelPattern>>,
    pub providers: Option<Vec<String>>,
    pub mode: Option<Mode>,
    pub holds: Option<Holds>,
    /// `null` leaves the quota without one.
    #[serde(default = "nothing", deserialize_with = "nullable")]
    pub member_cap: Option<Option<u64>>,
    pub raises: Option<Vec<Raise>>,
    pub alerts: Option<Vec<u16>>,
    pub on_outage: Option<OnOutage>,
    pub contention_wait_ms: Option<u32>,
    pub on_stream: Option<OnStream>,
    pub figures: Option<Figures>,
}

const fn nothing<T>() -> Option<Option<T>> {
    None
}

/// Tells `null` from nothing.
fn nullable<'de, D, T>(deserializer: D) -> Result<Option<Option<T>>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    Option::deserialize(deserializer).map(Some)
}

impl<N> QuotaDraft<N> {
    /// Returns the draft with its node written as `node` has it.
    pub fn with_node<M>(self, node: impl FnOnce(N) -> M) -> QuotaDraft<M> {
        QuotaDraft {
            name: self.name,
            enabled: self.enabled,
            node: self.node.map(node),
            unit: self.unit,
            limit: self.limit,
            window: self.window,
            models: self.models,
            providers: self.providers,
            mode: self.mode,
            holds: self.holds,
            member_cap: self.member_cap,
            raises: self.raises,
            alerts: self.alerts,
            on_outage: self.on_outage,
            contention_wait_ms: self.contention_wait_ms,
            on_stream: self.on_stream,
            figures: self.figures,
        }
    }
}

impl QuotaDraft {
    /// Returns the name and the rules of a new quota.
    ///
    /// # Errors
    /// What is missing, with places in the draft.
    pub fn into_new(self) -> Result<(String, QuotaRules), Vec<Problem>> {
        let (Some(name), Some(node), Some(unit), Some(limit)) =
            (self.name.clone(), self.node, self.unit, self.limit)
        else {
            let needed = [
                ("name", self.name.is_none()),
                ("node", self.node.is_none()),
                ("unit", self.unit.is_none()),
                ("limit", self.limit.is_none()),
            ];
            let missing = needed.iter().filter(|(_, is_missing)| *is_missing);
            return Err(missing
                .map(|(field, _)| Problem::new(*field, "is missing"))
                .collect());
        };
        let mut rules = QuotaRules::new(node, unit, limit, None);
        self.change(&mut rules);
        Ok((name, rules))
    }

    /// Changes `rules` as the draft says; the name is no rule.
    pub fn change(self, rules: &mut QuotaRules) {
        fn set<T>(field: &mut T, value: Option<T>) {
            if let Some(value) = value {
                *field = value;
            }
        }
        set(&mut rules.enabled, self.enabled);
        set(&mut rules.node, self.node);
        set(&mut rules.unit, self.unit);
        set(&mut rules.limit, self.limit);
        set(&mut rules.window, self.window);
        set(&mut rules.models, self.models);
        set(&mut rules.providers, self.providers);
        set(&mut rules.mode, self.mode);
        set(&mut rules.holds, self.holds);
        set(&mut rules.member_cap, self.member_cap);
        set(&mut rules.raises, self.raises);
        set(&mut rules.alerts, self.alerts);
        set(&mut rules.on_outage, self.on_outage);
        set(&mut rules.contention_wait_ms, self.contention_wait_ms);
        set(&mut rules.on_stream, self.on_stream);
        set(&mut rules.figures, self.figures);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::file::read_json;

    fn draft(text: &str) -> QuotaDraft {
        read_json(text.as_bytes()).unwrap()
    }

    #[test]
    fn what_is_left_out_keeps_its_default() {
        let text = r#"{"name": "all", "node": "organisation", "unit": "requests", "limit": 3,
            "window": {"rolling": {"duration_ms": 60000}}, "figures": "shown"}"#;
        let (name, rules) = draft(text).into_new().unwrap();
        assert_eq!(name, "all");
        let window = Some(QuotaWindow::Rolling {
            duration_ms: 60_000,
        });
        let mut want = QuotaRules::new(QuotaNode::Organisation, Unit::Requests, 3, window);
        want.figures = Figures::Shown;
        assert_eq!(rules, want);
    }

    #[test]
    fn what_is_missing_is_told() {
        let problems = draft(r#"{"unit": "requests"}"#).into_new().unwrap_err();
        let paths: Vec<_> = problems.iter().map(|it| it.path.as_str()).collect();
        assert_eq!(paths, ["name", "node", "limit"]);
    }

    #[test]
    fn null_empties_a_field_and_absence_leaves_it() {
        let mut rules = QuotaRules::new(QuotaNode::Organisation, Unit::Requests, 3, None);
        rules.member_cap = Some(2);
        draft(r#"{"limit": 5}"#).change(&mut rules);
        assert_eq!((rules.limit, rules.member_cap), (5, Some(2)));
        draft(r#"{"member_cap": null}"#).change(&mut rules);
        assert_eq!(rules.member_cap, None);
    }

    #[test]
    fn an_unknown_field_is_refused() {
        assert!(read_json::<QuotaDraft>(br#"{"budget": 5}"#).is_err());
    }
}
