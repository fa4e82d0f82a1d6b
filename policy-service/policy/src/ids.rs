//! Identifiers: one newtype over a UUID for each kind of thing, from one alphabetical list.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident,)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            /// Wraps `id`.
            pub const fn new(id: Uuid) -> Self {
                Self(id)
            }

            /// Wraps the 16 bytes of an id as they travel.
            pub const fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(Uuid::from_bytes(bytes))
            }

            /// Returns the UUID inside.
            pub const fn uuid(self) -> Uuid {
                self.0
            }

            /// Returns the 16 bytes of the id, as they travel on the wire.
            pub const fn into_bytes(self) -> [u8; 16] {
                self.0.into_bytes()
            }
        }

        impl core::fmt::Display for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                self.0.fmt(f)
            }
        }

        impl core::str::FromStr for $name {
            type Err = uuid::Error;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Uuid::parse_str(text).map(Self)
            }
        }
    )*};
}

ids! {
    /// One administrative access token.
    AdminTokenId,
    /// One event of the administrative audit log.
    AuditEventId,
    /// A customer: the level above teams.
    CustomerId,
    /// One request and its response; made by the filter.
    ExchangeId,
    /// A lease of slices of several quotas; made by the filter.
    GrantId,
    /// A guardrail.
    GuardrailId,
    /// One Envoy process, from its start to its end: who has slices; made by the filter.
    HolderId,
    /// A virtual key (not its secret).
    KeyId,
    /// A provider.
    ProviderId,
    /// One credential of a provider.
    ProviderKeyId,
    /// A quota: a limit over a window at one node.
    QuotaId,
    /// A route: a model alias and its targets.
    RouteId,
    /// A file of detection rules.
    RuleFileId,
    /// A team.
    TeamId,
    /// A user.
    UserId,
    /// A list of words and phrases.
    WordListId,
}
