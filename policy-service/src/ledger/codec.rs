//! How lists of small records stand in one column or value: fixed-size fields in big-endian order, after a byte that
//! names the version. Nothing is looked up inside of them.

use policy::ids::GrantId;
use policy::quota::AccountId;
use policy::quota::lease::{Keeping, RunningHold, WindowKey};
use policy::units::Timestamp;
use uuid::Uuid;

use super::books::{Charged, LeasePart};

const VERSION: u8 = 1;

/// A value that does not say what it must.
#[derive(Debug, thiserror::Error)]
#[error("the ledger holds an unreadable list of {0}")]
pub struct Unreadable(pub(crate) &'static str);

/// A record of fixed size.
pub(crate) trait Record: Sized {
    const NAME: &'static str;
    fn write(&self, to: &mut Writer);
    fn read(from: &mut Reader<'_>) -> Option<Self>;
}

/// Writes a list.
pub(crate) fn encode<R: Record>(records: &[R]) -> Vec<u8> {
    let mut writer = Writer(vec![VERSION]);
    records.iter().for_each(|record| record.write(&mut writer));
    writer.0
}

/// Reads a list.
pub(crate) fn decode<R: Record>(bytes: &[u8]) -> Result<Vec<R>, Unreadable> {
    let unreadable = || Unreadable(R::NAME);
    let (version, rest) = bytes.split_first().ok_or_else(unreadable)?;
    if *version != VERSION {
        return Err(unreadable());
    }
    let mut reader = Reader(rest);
    let mut records = Vec::new();
    while !reader.0.is_empty() {
        records.push(R::read(&mut reader).ok_or_else(unreadable)?);
    }
    Ok(records)
}

pub(crate) struct Writer(Vec<u8>);

impl Writer {
    fn bytes(&mut self, bytes: [u8; 16]) {
        self.0.extend(bytes);
    }

    fn number(&mut self, number: u64) {
        self.0.extend(number.to_be_bytes());
    }

    fn flags(&mut self, flags: u8) {
        self.0.push(flags);
    }

    fn window(&mut self, window: WindowKey) {
        self.number(window.start_ms);
        self.number(window.width_ms);
        self.flags(u8::from(window.keeping == Keeping::Hot));
    }
}

pub(crate) struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (array, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*array)
    }

    fn number(&mut self) -> Option<u64> {
        self.array().map(u64::from_be_bytes)
    }

    fn flag(&mut self) -> Option<bool> {
        self.array::<1>().map(|flags| flags != [0])
    }

    fn account(&mut self) -> Option<AccountId> {
        self.array().map(AccountId::from_bytes)
    }

    fn grant(&mut self) -> Option<GrantId> {
        self.array().map(|id| GrantId::new(Uuid::from_bytes(id)))
    }

    fn window(&mut self) -> Option<WindowKey> {
        Some(WindowKey {
            start_ms: self.number()?,
            width_ms: self.number()?,
            keeping: if self.flag()? {
                Keeping::Hot
            } else {
                Keeping::Durable
            },
        })
    }
}

impl Record for LeasePart {
    const NAME: &'static str = "slices";

    fn write(&self, to: &mut Writer) {
        to.bytes(self.account.into_bytes());
        to.window(self.window);
        to.number(self.ends.as_millis());
        to.number(self.left);
        to.flags(u8::from(self.strict));
    }

    fn read(from: &mut Reader<'_>) -> Option<Self> {
        Some(Self {
            account: from.account()?,
            window: from.window()?,
            ends: Timestamp::from_millis(from.number()?),
            left: from.number()?,
            strict: from.flag()?,
        })
    }
}

impl Record for Charged {
    const NAME: &'static str = "charges";

    fn write(&self, to: &mut Writer) {
        to.bytes(self.account.into_bytes());
        to.number(self.bucket);
        to.number(self.kept_until.as_millis());
        to.number(self.amount);
        to.number(self.debt);
    }

    fn read(from: &mut Reader<'_>) -> Option<Self> {
        Some(Self {
            account: from.account()?,
            bucket: from.number()?,
            kept_until: Timestamp::from_millis(from.number()?),
            amount: from.number()?,
            debt: from.number()?,
        })
    }
}

impl Record for RunningHold {
    const NAME: &'static str = "holds";

    fn write(&self, to: &mut Writer) {
        to.bytes(self.grant.into_bytes());
        to.bytes(self.account.into_bytes());
        to.window(self.window);
        to.number(self.held);
        to.number(self.so_far);
        to.number(self.per_second);
        to.flags(u8::from(self.strict));
    }

    fn read(from: &mut Reader<'_>) -> Option<Self> {
        Some(Self {
            grant: from.grant()?,
            account: from.account()?,
            window: from.window()?,
            held: from.number()?,
            so_far: from.number()?,
            per_second: from.number()?,
            strict: from.flag()?,
        })
    }
}
