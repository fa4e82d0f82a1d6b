//! Quotas of a policy file.

use super::PolicyFile;
use super::entries::{QuotaNodeEntry, ScopeEntry};
use super::import::Import;
use crate::check::Node;
use crate::documents::Scope;
use crate::ids::{QuotaId, TeamId};
use crate::quota::{Quota, QuotaNode};

impl Import<'_> {
    pub(super) fn quotas(&mut self, file: &PolicyFile) {
        for (number, entry) in file.quotas.iter().enumerate() {
            let at = format!("quotas[{number}]");
            let draft = entry
                .clone()
                .with_node(|node| self.quota_node(&format!("{at}.node"), node));
            match draft.into_new() {
                Ok((name, rules)) => {
                    let id = QuotaId::new(self.id(&format!("{at}.name"), "quotas", &name));
                    self.places.insert(Node::Quota(id), at);
                    self.documents.quotas.insert(id, Quota { id, name, rules });
                }
                Err(problems) => {
                    for problem in problems {
                        self.add(format!("{at}.{}", problem.path), problem.message);
                    }
                }
            }
        }
    }

    fn quota_node(&mut self, at: &str, node: QuotaNodeEntry) -> QuotaNode {
        match node {
            QuotaNodeEntry::Organisation => QuotaNode::Organisation,
            QuotaNodeEntry::Customer(name) => whole(self.scope(at, &ScopeEntry::Customer(name))),
            QuotaNodeEntry::Team(name) => whole(self.scope(at, &ScopeEntry::Team(name))),
            QuotaNodeEntry::User(name) => whole(self.scope(at, &ScopeEntry::User(name))),
            QuotaNodeEntry::Key(name) => whole(self.scope(at, &ScopeEntry::Key(name))),
            QuotaNodeEntry::EachMember(name) => {
                let team: Option<TeamId> = self.team(format!("{at}.each_member"), &name);
                // The import fails all the same; the rest of the entry is still looked at.
                team.map_or(QuotaNode::Organisation, QuotaNode::EachMember)
            }
            QuotaNodeEntry::EachSession(scope) => {
                QuotaNode::EachSession(self.scope(&format!("{at}.each_session"), &scope))
            }
            QuotaNodeEntry::EachAgent(scope) => {
                QuotaNode::EachAgent(self.scope(&format!("{at}.each_agent"), &scope))
            }
        }
    }
}

/// Returns the node that counts everything of a scope together.
const fn whole(scope: Scope) -> QuotaNode {
    match scope {
        Scope::Global => QuotaNode::Organisation,
        Scope::Customer(id) => QuotaNode::Customer(id),
        Scope::Team(id) => QuotaNode::Team(id),
        Scope::User(id) => QuotaNode::User(id),
        Scope::Key(id) => QuotaNode::Key(id),
    }
}
