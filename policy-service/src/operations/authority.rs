//! Who asks, what they may do, and the proof that it was asked.

use std::collections::BTreeSet;

use policy::ids::{AdminTokenId, AuditEventId};
use serde::Serialize;
use uuid::Uuid;

use super::{ObjectKind, OperationError};
use crate::clock;
use crate::store::audit::{Actor, AuditEvent};

/// What a permission is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Resource {
    AdminTokens,
    AuditLog,
    Customers,
    Exchanges,
    Guardrails,
    Keys,
    Mesh,
    Prices,
    Providers,
    Quotas,
    Routes,
    Settings,
    Teams,
    Users,
    Vault,
}

impl Resource {
    /// Returns the word used in messages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::AdminTokens => "admin_tokens",
            Self::AuditLog => "audit_log",
            Self::Customers => "customers",
            Self::Exchanges => "exchanges",
            Self::Guardrails => "guardrails",
            Self::Keys => "keys",
            Self::Mesh => "mesh",
            Self::Prices => "prices",
            Self::Providers => "providers",
            Self::Quotas => "quotas",
            Self::Routes => "routes",
            Self::Settings => "settings",
            Self::Teams => "teams",
            Self::Users => "users",
            Self::Vault => "vault",
        }
    }
}

/// What a permission allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Right {
    View,
    Create,
    Update,
    Delete,
}

impl Right {
    /// Returns the word used in messages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::View => "view",
            Self::Create => "create",
            Self::Update => "update",
            Self::Delete => "delete",
        }
    }
}

#[derive(Clone, Debug)]
enum Grants {
    All,
    Only(BTreeSet<(Resource, Right)>),
}

/// Someone whose identity was established.
#[derive(Clone, Debug)]
pub struct Caller {
    actor: Actor,
    grants: Grants,
    request_id: Option<String>,
}

impl Caller {
    /// The service itself, or who runs it on this machine; may do everything.
    pub fn system(part: impl Into<String>) -> Self {
        Self {
            actor: Actor::System { part: part.into() },
            grants: Grants::All,
            request_id: None,
        }
    }

    /// What filters report; may record exchanges, take provider keys out of use and use the vault.
    pub(crate) fn filters() -> Self {
        let grants = [
            (Resource::Exchanges, Right::Create),
            (Resource::Providers, Right::Update),
            (Resource::Vault, Right::Create),
            (Resource::Vault, Right::View),
        ];
        Self {
            actor: Actor::System {
                part: "filters".to_owned(),
            },
            grants: Grants::Only(grants.into()),
            request_id: None,
        }
    }

    pub(super) fn admin_token(id: AdminTokenId, name: String) -> Self {
        Self {
            actor: Actor::AdminToken { id, name },
            grants: Grants::All,
            request_id: None,
        }
    }

    /// Names the request on whose behalf this is, for the audit log.
    #[must_use]
    pub fn with_request_id(mut self, request_id: String) -> Self {
        self.request_id = Some(request_id);
        self
    }

    /// Proves that the caller may do something.
    pub(super) fn permit(
        &self,
        resource: Resource,
        right: Right,
    ) -> Result<Permit<'_>, OperationError> {
        let is_granted = match &self.grants {
            Grants::All => true,
            Grants::Only(grants) => grants.contains(&(resource, right)),
        };
        if is_granted {
            Ok(Permit { caller: self })
        } else {
            Err(OperationError::Forbidden { resource, right })
        }
    }
}

/// Proof that permission was asked: only with it can an audit event be made.
#[derive(Clone, Copy, Debug)]
pub(super) struct Permit<'c> {
    caller: &'c Caller,
}

/// What an event is about.
#[derive(Clone, Debug)]
pub(super) struct Object {
    pub(super) kind: ObjectKind,
    pub(super) id: String,
    pub(super) name: String,
}

impl Object {
    pub(super) fn new(kind: ObjectKind, id: impl ToString, name: impl Into<String>) -> Self {
        Self {
            kind,
            id: id.to_string(),
            name: name.into(),
        }
    }
}

impl Permit<'_> {
    /// States what was done; `before` and `after` must be types without secrets.
    pub(super) fn event<T: Serialize>(
        self,
        verb: &'static str,
        object: Object,
        before: Option<&T>,
        after: Option<&T>,
    ) -> Result<AuditEvent, OperationError> {
        let summary = |value: Option<&T>| {
            let value = value.map(serde_json::to_value).transpose();
            value.map_err(|source| OperationError::Summary { source })
        };
        Ok(AuditEvent {
            id: AuditEventId::new(Uuid::now_v7()),
            at: clock::now(),
            actor: self.caller.actor.clone(),
            action: format!("{}.{verb}", object.kind.name()),
            object_kind: object.kind.name().to_owned(),
            object_id: object.id,
            object_name: object.name,
            before: summary(before)?,
            after: summary(after)?,
            request_id: self.caller.request_id.clone(),
        })
    }
}
