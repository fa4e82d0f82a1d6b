//! The secrets pack: rules for the credentials of vendors and for secrets known by where they stand, written from the
//! vendors' documented formats.
//!
//! The files under `packs/secrets` are rule files like any other; beside the keys of the schema each rule names the
//! document of its vendor, a severity, a check in Rust, and examples of both kinds. What is embedded is
//! `packs/secrets.json`: the same rules after they were read and checked, one a line, because checking takes longer
//! than a proxy's worker may take to start. A test compares the two and says how to write it anew.

use crate::problem::RuleProblem;
use crate::rule_pack::RulePack;

/// The pack as [`RulePack::encode`] writes it.
const BAKED: &[u8] = include_bytes!("../packs/secrets.json");

/// Reads the pack.
///
/// # Errors
/// When the embedded file is damaged, which the tests rule out.
pub(crate) fn secrets() -> Result<RulePack, RuleProblem> {
    RulePack::decode(BAKED)
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
