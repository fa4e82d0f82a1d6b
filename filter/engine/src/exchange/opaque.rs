//! Paths outside the model APIs: which of them pass, and what their bodies may name.

use dialects::media_type::BodyType;
use dialects::refusal::RefusalCode;
use dialects::request::{OpaqueFacts, OpaqueReader};
use policy::compiled::OpaqueGrant;
use policy::units::Timestamp;

use super::admission::Admitted;
use super::body::{BodyRead, Reading};
use super::contents::Contents;
use super::target::{Names, Plan};
use super::{Exchange, State};
use crate::messages::Flow;

/// A body of such a path that is being read.
#[derive(Debug)]
pub(super) struct OpaqueBody {
    pub references: OpaqueReader,
    /// `None` without a body.
    pub contents: Option<Contents>,
}

impl Exchange {
    pub(super) fn begin_opaque(&mut self, admitted: Admitted, end_of_stream: bool) -> Flow {
        let Some(address) = &self.facts.address else {
            return self.without_address();
        };
        let (dialect, path) = (address.surface.dialect(), address.path.clone());
        let method = admitted.headers.text(":method").unwrap_or_default();
        let granted = admitted.key.as_ref().map_or(OpaqueGrant::NotNamed, |key| {
            key.opaque_grant(dialect, method, &path)
        });
        if let Some((code, message)) = objection(granted) {
            return self.refuse(code, message.to_owned());
        }
        if let Some(refused) = self.refused_query(admitted.key.as_deref()) {
            return refused;
        }
        let cap_bytes = admitted.mesh.body_cap_bytes;
        if let Some(refused) = self.over_cap(&admitted.headers, cap_bytes) {
            return refused;
        }
        // Without a body there is nothing to be declared.
        let declared = (!end_of_stream).then(|| self.declared(&admitted.headers));
        let declared = match declared.transpose() {
            Ok(declared) => declared,
            Err(refused) => return refused,
        };
        let _is_guarded = self
            .facts
            .surface
            .is_some_and(|surface| self.begin_guarding(surface));
        let body = BodyRead {
            admitted,
            read_bytes: 0,
            reading: Reading::Opaque(Box::new(OpaqueBody {
                references: OpaqueReader::new(declared == Some(BodyType::Json)),
                contents: declared.map(Contents::new),
            })),
        };
        if end_of_stream {
            return self.body_ended(body, false);
        }
        self.state = State::ReadingBody(Box::new(body));
        Flow::Hold
    }

    /// Decides on a request of such a path that has been read to its end.
    pub(super) fn judge_opaque(
        &mut self,
        now: Timestamp,
        admitted: Admitted,
        facts: &OpaqueFacts,
    ) -> Flow {
        if let Some(refused) = self.leads_elsewhere(facts.elsewhere) {
            return refused;
        }
        if !self.facts.subscription
            && let Some(reference) = facts.references.first()
        {
            return self.refuse_reference(reference);
        }
        let Some(address) = self.facts.address.clone() else {
            return self.without_address();
        };
        let planned = if self.facts.subscription {
            Plan::for_own_login(&admitted, &address, "", None)
        } else {
            Plan::for_path(&admitted, &address, self.affinity())
        };
        match planned {
            Ok(plan) => self.planned(now, plan),
            Err(error) => self.no_plan(&error, Names::NoModel),
        }
    }

    fn without_address(&mut self) -> Flow {
        self.refuse(
            RefusalCode::Internal,
            "The request has no address.".to_owned(),
        )
    }
}

/// Returns what is said where a path is not the key's to call.
pub(super) const fn objection(granted: OpaqueGrant) -> Option<(RefusalCode, &'static str)> {
    match granted {
        OpaqueGrant::Allowed => None,
        OpaqueGrant::NotNamed => Some((
            RefusalCode::PathNotAllowed,
            "This path is outside the model APIs, and your virtual key does not name it; an administrator can add it to the key's opaque paths.",
        )),
        OpaqueGrant::NotExactly => Some((
            RefusalCode::PathNotAllowed,
            "This path is outside the model APIs, and wildcards do not cover it; an administrator can name it exactly in the key's opaque paths.",
        )),
        OpaqueGrant::Stored => Some((
            RefusalCode::StatefulIdUnknown,
            "What is stored at a provider is not tracked by team on such paths and therefore not passed on.",
        )),
        OpaqueGrant::Administrative => Some((
            RefusalCode::PathNotAllowed,
            "Paths of a provider's administration, and those that give out credentials, are never passed on.",
        )),
    }
}
