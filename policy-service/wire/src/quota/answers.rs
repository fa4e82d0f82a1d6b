//! Grants: what is asked for, and what became of it.

use policy::ids::{ExchangeId, GrantId, HolderId, QuotaId};
use policy::quota::Level;
use policy::quota::covering::Part;
use policy::quota::lease::{Ask, GrantAnswer, GrantRequest, Granted, Refusal, RefusalKind, Slice};
use policy::units::Timestamp;

use super::{MAX_ASKS, Problem, QUOTED_CHARS, Unreadable, account, at_most, each, id, window};
use crate::mesh;

impl From<&GrantRequest> for mesh::GrantRequest {
    fn from(request: &GrantRequest) -> Self {
        Self {
            grant_id: request.grant.into_bytes().to_vec(),
            holder_id: request.holder.into_bytes().to_vec(),
            exchange_id: request.exchange.into_bytes().to_vec(),
            asks: request.asks.iter().map(Into::into).collect(),
        }
    }
}

impl TryFrom<&mesh::GrantRequest> for GrantRequest {
    type Error = Unreadable;

    fn try_from(message: &mesh::GrantRequest) -> Result<Self, Unreadable> {
        at_most("asks", message.asks.len(), MAX_ASKS)?;
        Ok(Self {
            grant: id("grant_id", &message.grant_id, GrantId::new)?,
            holder: id("holder_id", &message.holder_id, HolderId::new)?,
            exchange: id("exchange_id", &message.exchange_id, ExchangeId::new)?,
            asks: each("asks", &message.asks)?,
        })
    }
}

impl From<&Ask> for mesh::GrantAsk {
    fn from(ask: &Ask) -> Self {
        Self {
            quota_id: ask.quota.into_bytes().to_vec(),
            member_cap: match ask.part {
                Part::Limit => false,
                Part::MemberCap => true,
            },
            account_id: ask.account.into_bytes().to_vec(),
            need: ask.need,
            want: ask.want,
        }
    }
}

impl TryFrom<&mesh::GrantAsk> for Ask {
    type Error = Unreadable;

    fn try_from(message: &mesh::GrantAsk) -> Result<Self, Unreadable> {
        Ok(Self {
            quota: id("quota_id", &message.quota_id, QuotaId::new)?,
            part: if message.member_cap {
                Part::MemberCap
            } else {
                Part::Limit
            },
            account: account(&message.account_id)?,
            need: message.need,
            want: message.want,
        })
    }
}

impl From<&GrantAnswer> for mesh::GrantAnswer {
    fn from(answer: &GrantAnswer) -> Self {
        let answer = match answer {
            GrantAnswer::Granted(granted) => mesh::grant_answer::Answer::Granted(granted.into()),
            GrantAnswer::Refused(refusal) => mesh::grant_answer::Answer::Refused(refusal.into()),
        };
        Self {
            answer: Some(answer),
        }
    }
}

impl mesh::GrantAnswer {
    /// Reads what became of `grant`. Which grant is meant is not said again in the answer.
    ///
    /// # Errors
    /// [`Unreadable`] when the message means nothing; the grant is best given back then.
    pub fn of(&self, grant: GrantId) -> Result<GrantAnswer, Unreadable> {
        match &self.answer {
            Some(mesh::grant_answer::Answer::Granted(granted)) => {
                let granted = granted.of(grant);
                let granted = granted.map_err(|wrong| wrong.within("granted"))?;
                Ok(GrantAnswer::Granted(granted))
            }
            Some(mesh::grant_answer::Answer::Refused(refused)) => {
                let refusal = Refusal::try_from(refused);
                let refusal = refusal.map_err(|wrong| wrong.within("refused"))?;
                Ok(GrantAnswer::Refused(refusal))
            }
            None => Err(Unreadable::new("answer", Problem::Missing)),
        }
    }
}

impl From<&Granted> for mesh::Granted {
    fn from(granted: &Granted) -> Self {
        Self {
            expires_ms: granted.expires.as_millis(),
            slices: granted.slices.iter().map(Into::into).collect(),
        }
    }
}

impl mesh::Granted {
    /// Reads the slices of `grant`.
    ///
    /// # Errors
    /// [`Unreadable`] when the message means nothing.
    pub fn of(&self, grant: GrantId) -> Result<Granted, Unreadable> {
        Ok(Granted {
            grant,
            expires: Timestamp::from_millis(self.expires_ms),
            slices: each("slices", &self.slices)?,
        })
    }
}

impl From<&Slice> for mesh::GrantedSlice {
    fn from(slice: &Slice) -> Self {
        Self {
            account_id: slice.account.into_bytes().to_vec(),
            amount: slice.amount,
            window: Some((&slice.window).into()),
            ends_ms: slice.ends.as_millis(),
            left: slice.left,
        }
    }
}

impl TryFrom<&mesh::GrantedSlice> for Slice {
    type Error = Unreadable;

    fn try_from(message: &mesh::GrantedSlice) -> Result<Self, Unreadable> {
        Ok(Self {
            account: account(&message.account_id)?,
            amount: message.amount,
            window: window(message.window.as_ref())?,
            ends: Timestamp::from_millis(message.ends_ms),
            left: message.left,
        })
    }
}

impl From<&Refusal> for mesh::GrantRefused {
    fn from(refusal: &Refusal) -> Self {
        Self {
            exhausted: match refusal.kind {
                RefusalKind::Exhausted => true,
                RefusalKind::Contended => false,
            },
            quota_id: refusal.quota.into_bytes().to_vec(),
            account_id: refusal.account.into_bytes().to_vec(),
            level: refusal.level.name().to_owned(),
            retry_after_ms: refusal.retry_after_ms,
        }
    }
}

impl TryFrom<&mesh::GrantRefused> for Refusal {
    type Error = Unreadable;

    fn try_from(message: &mesh::GrantRefused) -> Result<Self, Unreadable> {
        Ok(Self {
            kind: if message.exhausted {
                RefusalKind::Exhausted
            } else {
                RefusalKind::Contended
            },
            quota: id("quota_id", &message.quota_id, QuotaId::new)?,
            account: account(&message.account_id)?,
            level: level(&message.level)?,
            retry_after_ms: message.retry_after_ms,
        })
    }
}

fn level(name: &str) -> Result<Level, Unreadable> {
    let mut levels = Level::ALL.into_iter();
    levels.find(|level| level.name() == name).ok_or_else(|| {
        let given = name.chars().take(QUOTED_CHARS).collect();
        Unreadable::new("level", Problem::Level { given })
    })
}
