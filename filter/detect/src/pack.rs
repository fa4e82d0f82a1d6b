//! The secrets pack: rules for the credentials of vendors and for secrets known by where they stand, written from the
//! vendors' documented formats.
//!
//! The files under `packs/secrets` are rule files like any other; beside the keys of the schema each rule names the
//! document of its vendor, a severity, a check in Rust where the format has one, and examples of both kinds.

use crate::problem::RuleProblem;
use crate::rule_pack::RulePack;

/// The files of the pack, in the order in which their rules are told.
pub(crate) const SECRETS: [(&str, &str); 17] = [
    ("ai", include_str!("../packs/secrets/ai.toml")),
    ("ai-tools", include_str!("../packs/secrets/ai-tools.toml")),
    (
        "hyperscalers",
        include_str!("../packs/secrets/hyperscalers.toml"),
    ),
    ("cloud", include_str!("../packs/secrets/cloud.toml")),
    ("code", include_str!("../packs/secrets/code.toml")),
    ("build", include_str!("../packs/secrets/build.toml")),
    ("devtools", include_str!("../packs/secrets/devtools.toml")),
    ("data", include_str!("../packs/secrets/data.toml")),
    (
        "monitoring",
        include_str!("../packs/secrets/monitoring.toml"),
    ),
    ("payment", include_str!("../packs/secrets/payment.toml")),
    ("shops", include_str!("../packs/secrets/shops.toml")),
    ("chat", include_str!("../packs/secrets/chat.toml")),
    ("mail", include_str!("../packs/secrets/mail.toml")),
    ("social", include_str!("../packs/secrets/social.toml")),
    ("work", include_str!("../packs/secrets/work.toml")),
    ("keys", include_str!("../packs/secrets/keys.toml")),
    ("generic", include_str!("../packs/secrets/generic.toml")),
];

/// Reads the pack.
///
/// # Errors
/// When a file of the pack is wrong, which its tests rule out.
pub(crate) fn secrets() -> Result<RulePack, RuleProblem> {
    let mut text = String::new();
    for (_, file) in SECRETS {
        text.push_str(file);
    }
    RulePack::from_gitleaks_toml(&text, &|_| None).map_err(|problems| {
        problems
            .into_iter()
            .next()
            .unwrap_or_else(|| RuleProblem::file("rules", "cannot be read".to_owned()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matcher::Matcher;

    /// Rules whose matches may begin far before their keyword.
    const FAR: [&str; 1] = ["kubernetes-secret-yaml-before"];
    /// The longest way from the begin of a match to the end of its keyword.
    const LONGEST_LEAD: usize = 400;

    #[test]
    fn every_match_holds_a_keyword() {
        let pack = secrets().unwrap();
        let mut wrong = Vec::new();
        for def in &pack.body().rules {
            let matcher = Matcher::new(def).unwrap();
            match matcher.reach(false) {
                None => wrong.push(format!("{}: a match need not hold a keyword", def.id)),
                Some(reach) if reach.rest.is_endless() => {
                    wrong.push(format!("{}: is endless", def.id))
                }
                Some(reach) if reach.lead > LONGEST_LEAD && !FAR.contains(&def.id.as_str()) => {
                    wrong.push(format!(
                        "{}: the keyword is {} bytes away",
                        def.id, reach.lead
                    ));
                }
                Some(_) => {}
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }
}
