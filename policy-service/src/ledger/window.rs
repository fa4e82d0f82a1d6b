//! When a window begins and ends. Windows roll when someone looks at them; nothing runs in the background.
//!
//! Windows are half-open, `[start, next start)`. A start that a clock change skips moves forward, one that comes
//! twice is the first; so a local day has 23, 24 or 25 hours and none is counted twice.

use jiff::ToSpan as _;
use jiff::civil::{Date, date};
use jiff::tz::TimeZone;
use policy::quota::lease::{Keeping, WindowKey};
use policy::quota::{CalendarWindow, Period, QuotaRules, QuotaWindow, Unit};
use policy::units::Timestamp;

/// Parts of a rolling window that are counted apart: the resolution.
const ROLLING_PARTS: u64 = 60;
/// Longest rolling window that may be kept hot.
const HOT_MAX_MS: u64 = 10 * 60_000;
/// The end of what has no end.
pub(crate) const NEVER: Timestamp = Timestamp::from_millis(i64::MAX.unsigned_abs());

/// Why a window has no bounds.
#[derive(Debug, thiserror::Error)]
pub enum WindowError {
    /// The zone is not in the time zone database.
    #[error("time zone `{zone}` is not known")]
    Zone {
        zone: String,
        #[source]
        source: jiff::Error,
    },
    /// A time outside what a calendar can hold.
    #[error("the window has no bounds at {at_ms} ms")]
    OutOfRange {
        at_ms: u64,
        #[source]
        source: jiff::Error,
    },
}

/// A window as it is at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    pub key: WindowKey,
    /// The first bucket that counts.
    pub since_ms: u64,
    /// How long something counts after the beginning of its bucket; only in rolling windows.
    pub counts_for_ms: u64,
    /// When the window ends: the next one begins, or, rolling, never.
    pub ends: Timestamp,
}

impl Window {
    /// A window of something that is counted as it is.
    pub(crate) const NONE: Self = Self {
        key: WindowKey {
            start_ms: 0,
            width_ms: 0,
            keeping: Keeping::Durable,
        },
        since_ms: i64::MAX.unsigned_abs(),
        counts_for_ms: 0,
        ends: NEVER,
    };

    /// Returns the window of `rules` at `now`. Hot windows are only used where the service has a place for them.
    ///
    /// # Errors
    /// [`WindowError`] for a zone that is not known, and outside the years that calendars hold.
    pub fn at(rules: &QuotaRules, now: Timestamp) -> Result<Self, WindowError> {
        let mut window = match &rules.window {
            None => Self::NONE,
            Some(QuotaWindow::Rolling { duration_ms }) => Self::rolling(*duration_ms, now),
            Some(QuotaWindow::Calendar(calendar)) => Self::calendar(calendar, now)?,
        };
        window.key.keeping = keeping(rules);
        Ok(window)
    }

    fn rolling(duration_ms: u64, now: Timestamp) -> Self {
        let width_ms = duration_ms.div_ceil(ROLLING_PARTS).max(1);
        let oldest = now.as_millis().saturating_sub(duration_ms);
        Self {
            key: WindowKey {
                width_ms,
                ..WindowKey::default()
            },
            since_ms: (oldest - oldest % width_ms).max(1),
            counts_for_ms: duration_ms.saturating_add(width_ms),
            ends: NEVER,
        }
    }

    fn calendar(calendar: &CalendarWindow, now: Timestamp) -> Result<Self, WindowError> {
        let zone = zone(&calendar.zone)?;
        let out_of_range = |source| WindowError::OutOfRange {
            at_ms: now.as_millis(),
            source,
        };
        let millis = i64::try_from(now.as_millis()).unwrap_or(i64::MAX);
        let at = jiff::Timestamp::from_millisecond(millis).map_err(out_of_range)?;
        let (start, end) = bounds(calendar, &zone, at).map_err(out_of_range)?;
        let start_ms = u64::try_from(start.as_millisecond()).unwrap_or(0).max(1);
        Ok(Self {
            key: WindowKey {
                start_ms,
                ..WindowKey::default()
            },
            since_ms: start_ms,
            counts_for_ms: 0,
            ends: Timestamp::from_millis(u64::try_from(end.as_millisecond()).unwrap_or(0)),
        })
    }
}

/// Whether time zones of this name are known.
pub fn zone_is_known(name: &str) -> bool {
    zone(name).is_ok()
}

fn zone(name: &str) -> Result<TimeZone, WindowError> {
    TimeZone::get(name).map_err(|source| WindowError::Zone {
        zone: name.to_owned(),
        source,
    })
}

/// Money is always durable, and so is what counts for long.
pub(crate) fn keeping(rules: &QuotaRules) -> Keeping {
    let is_short = match &rules.window {
        None => true,
        Some(QuotaWindow::Rolling { duration_ms }) => *duration_ms <= HOT_MAX_MS,
        Some(QuotaWindow::Calendar(_)) => false,
    };
    if is_short && rules.unit != Unit::MicroUsd {
        Keeping::Hot
    } else {
        Keeping::Durable
    }
}

fn bounds(
    calendar: &CalendarWindow,
    zone: &TimeZone,
    at: jiff::Timestamp,
) -> Result<(jiff::Timestamp, jiff::Timestamp), jiff::Error> {
    let today = at.to_zoned(zone.clone()).date();
    let first_month = i8::try_from(calendar.first_month).unwrap_or(1);
    let (first, next) = match calendar.every {
        Period::Hour => return hour(zone, at),
        Period::Day => (today, today.tomorrow()?),
        Period::Week => {
            let past = i64::from(today.weekday().to_monday_zero_offset());
            let monday = today.checked_sub(past.days())?;
            (monday, monday.checked_add(7.days())?)
        }
        Period::Month => months(today, 1, 1)?,
        Period::Quarter => months(today, first_month, 3)?,
        Period::Year => months(today, first_month, 12)?,
    };
    Ok((midnight(first, zone)?, midnight(next, zone)?))
}

/// Returns the first day of the run of `length` months that `today` is in, and of the next; runs are counted from
/// `first_month`.
fn months(today: Date, first_month: i8, length: i8) -> Result<(Date, Date), jiff::Error> {
    let past = (today.month() - first_month).rem_euclid(12) % length;
    let first = date(today.year(), today.month(), 1).checked_sub(i64::from(past).months())?;
    Ok((first, first.checked_add(i64::from(length).months())?))
}

fn midnight(day: Date, zone: &TimeZone) -> Result<jiff::Timestamp, jiff::Error> {
    Ok(day.to_zoned(zone.clone())?.timestamp())
}

/// A clock change within an hour divides it: not every zone changes at a full hour, or by one.
fn hour(
    zone: &TimeZone,
    at: jiff::Timestamp,
) -> Result<(jiff::Timestamp, jiff::Timestamp), jiff::Error> {
    let local = at.to_zoned(zone.clone());
    let past = i64::from(local.minute()).minutes();
    let past = past
        .seconds(i64::from(local.second()))
        .nanoseconds(i64::from(local.subsec_nanosecond()));
    let full = at.checked_sub(past)?;
    // `preceding` is strict; a change at this very moment begins a window.
    let just_after = at.checked_add(1.nanoseconds())?;
    let changed = zone.preceding(just_after).next().map(|it| it.timestamp());
    let start = changed.map_or(full, |changed| full.max(changed));
    let next_full = full.checked_add(1.hours())?;
    let changes = zone.following(at).next().map(|it| it.timestamp());
    Ok((
        start,
        changes.map_or(next_full, |changes| next_full.min(changes)),
    ))
}

#[cfg(test)]
mod tests;
