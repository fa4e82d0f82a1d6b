use policy::quota::QuotaNode;
use proptest::prelude::*;

use super::*;

fn rules(window: Option<QuotaWindow>) -> QuotaRules {
    QuotaRules::new(QuotaNode::Organisation, Unit::MicroUsd, 1, window)
}

fn calendar(every: Period, zone: &str, first_month: u8) -> QuotaRules {
    rules(Some(QuotaWindow::Calendar(CalendarWindow {
        every,
        zone: zone.to_owned(),
        first_month,
    })))
}

fn millis(text: &str) -> Timestamp {
    let at: jiff::Timestamp = text.parse().unwrap();
    Timestamp::from_millis(u64::try_from(at.as_millisecond()).unwrap())
}

/// The window around `at` begins at `start` and ends at `end`; so does that around its first and last millisecond.
#[track_caller]
fn check(every: Period, zone: &str, first_month: u8, at: &str, want: [&str; 2]) {
    let rules = calendar(every, zone, first_month);
    let window = Window::at(&rules, millis(at)).unwrap();
    let bounds = [Timestamp::from_millis(window.key.start_ms), window.ends];
    let show = |it: Timestamp| {
        jiff::Timestamp::from_millisecond(i64::try_from(it.as_millis()).unwrap()).unwrap()
    };
    assert_eq!(bounds, want.map(millis), "{:?}", bounds.map(show));
    let last = Timestamp::from_millis(window.ends.as_millis() - 1);
    for edge in [bounds[0], last] {
        assert_eq!(
            Window::at(&rules, edge).unwrap().key,
            window.key,
            "at {}",
            show(edge)
        );
    }
    let next = Window::at(&rules, window.ends).unwrap();
    assert_eq!(
        next.key.start_ms,
        window.ends.as_millis(),
        "the next window begins at the end"
    );
}

#[test]
fn days_are_local() {
    use Period::Day;
    check(
        Day,
        "UTC",
        1,
        "2026-11-21T12:00:00Z",
        ["2026-11-21T00:00:00Z", "2026-11-22T00:00:00Z"],
    );
    check(
        Day,
        "Europe/Berlin",
        1,
        "2026-07-01T22:30:00Z",
        ["2026-07-01T22:00:00Z", "2026-07-02T22:00:00Z"],
    );
    check(
        Day,
        "Asia/Kolkata",
        1,
        "2026-07-01T18:29:59Z",
        ["2026-06-30T18:30:00Z", "2026-07-01T18:30:00Z"],
    );
}

#[test]
fn days_have_23_or_25_hours_when_clocks_change() {
    use Period::Day;
    check(
        Day,
        "Europe/Berlin",
        1,
        "2026-03-29T12:00:00Z",
        ["2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z"],
    );
    check(
        Day,
        "Europe/Berlin",
        1,
        "2026-10-25T12:00:00Z",
        ["2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z"],
    );
    check(
        Day,
        "America/New_York",
        1,
        "2026-03-08T12:00:00Z",
        ["2026-03-08T05:00:00Z", "2026-03-09T04:00:00Z"],
    );
    check(
        Day,
        "America/New_York",
        1,
        "2026-11-01T12:00:00Z",
        ["2026-11-01T04:00:00Z", "2026-11-02T05:00:00Z"],
    );
}

#[test]
fn a_midnight_that_is_skipped_moves_forward() {
    // Chile changes at midnight: 2026-09-06 begins at 01:00.
    check(
        Period::Day,
        "America/Santiago",
        1,
        "2026-09-06T12:00:00Z",
        ["2026-09-06T04:00:00Z", "2026-09-07T03:00:00Z"],
    );
}

#[test]
fn a_midnight_that_comes_twice_is_the_first() {
    // Cuba goes from 01:00 back to 00:00.
    check(
        Period::Day,
        "America/Havana",
        1,
        "2026-11-01T12:00:00Z",
        ["2026-11-01T04:00:00Z", "2026-11-02T05:00:00Z"],
    );
}

#[test]
fn weeks_begin_on_monday() {
    use Period::Week;
    check(
        Week,
        "UTC",
        1,
        "2026-11-22T23:59:59Z",
        ["2026-11-16T00:00:00Z", "2026-11-23T00:00:00Z"],
    );
    // Week 53 of 2026 reaches into 2027.
    check(
        Week,
        "UTC",
        1,
        "2027-01-02T00:00:00Z",
        ["2026-12-28T00:00:00Z", "2027-01-04T00:00:00Z"],
    );
    check(
        Week,
        "Europe/Berlin",
        1,
        "2026-03-29T12:00:00Z",
        ["2026-03-22T23:00:00Z", "2026-03-29T22:00:00Z"],
    );
}

#[test]
fn months_end_when_they_end() {
    use Period::Month;
    check(
        Month,
        "UTC",
        1,
        "2028-02-29T12:00:00Z",
        ["2028-02-01T00:00:00Z", "2028-03-01T00:00:00Z"],
    );
    check(
        Month,
        "UTC",
        1,
        "2026-02-28T12:00:00Z",
        ["2026-02-01T00:00:00Z", "2026-03-01T00:00:00Z"],
    );
    check(
        Month,
        "UTC",
        1,
        "2026-12-31T23:59:59Z",
        ["2026-12-01T00:00:00Z", "2027-01-01T00:00:00Z"],
    );
    check(
        Month,
        "Europe/Berlin",
        1,
        "2026-03-31T21:59:59Z",
        ["2026-02-28T23:00:00Z", "2026-03-31T22:00:00Z"],
    );
    check(
        Month,
        "Pacific/Kiritimati",
        1,
        "2026-01-31T10:00:00Z",
        ["2026-01-31T10:00:00Z", "2026-02-28T10:00:00Z"],
    );
}

#[test]
fn quarters_follow_the_fiscal_year() {
    use Period::Quarter;
    check(
        Quarter,
        "UTC",
        1,
        "2026-11-21T00:00:00Z",
        ["2026-10-01T00:00:00Z", "2027-01-01T00:00:00Z"],
    );
    check(
        Quarter,
        "UTC",
        2,
        "2026-01-15T00:00:00Z",
        ["2025-11-01T00:00:00Z", "2026-02-01T00:00:00Z"],
    );
    check(
        Quarter,
        "UTC",
        4,
        "2028-02-29T00:00:00Z",
        ["2028-01-01T00:00:00Z", "2028-04-01T00:00:00Z"],
    );
    check(
        Quarter,
        "Europe/London",
        12,
        "2026-01-01T00:00:00Z",
        ["2025-12-01T00:00:00Z", "2026-03-01T00:00:00Z"],
    );
}

#[test]
fn years_follow_the_fiscal_year() {
    use Period::Year;
    check(
        Year,
        "UTC",
        1,
        "2028-02-29T00:00:00Z",
        ["2028-01-01T00:00:00Z", "2029-01-01T00:00:00Z"],
    );
    check(
        Year,
        "UTC",
        10,
        "2026-09-30T23:59:59Z",
        ["2025-10-01T00:00:00Z", "2026-10-01T00:00:00Z"],
    );
    check(
        Year,
        "Asia/Tokyo",
        4,
        "2026-03-31T15:00:00Z",
        ["2026-03-31T15:00:00Z", "2027-03-31T15:00:00Z"],
    );
}

#[test]
fn hours_are_divided_by_clock_changes() {
    use Period::Hour;
    check(
        Hour,
        "UTC",
        1,
        "2026-11-21T09:59:59.999Z",
        ["2026-11-21T09:00:00Z", "2026-11-21T10:00:00Z"],
    );
    check(
        Hour,
        "Asia/Kolkata",
        1,
        "2026-11-21T09:59:59Z",
        ["2026-11-21T09:30:00Z", "2026-11-21T10:30:00Z"],
    );
    // The hour that comes twice is two windows.
    check(
        Hour,
        "Europe/Berlin",
        1,
        "2026-10-25T00:30:00Z",
        ["2026-10-25T00:00:00Z", "2026-10-25T01:00:00Z"],
    );
    check(
        Hour,
        "Europe/Berlin",
        1,
        "2026-10-25T01:30:00Z",
        ["2026-10-25T01:00:00Z", "2026-10-25T02:00:00Z"],
    );
    // Lord Howe goes back by half an hour, from 02:00 to 01:30.
    check(
        Hour,
        "Australia/Lord_Howe",
        1,
        "2026-04-04T14:45:00Z",
        ["2026-04-04T14:00:00Z", "2026-04-04T15:00:00Z"],
    );
    check(
        Hour,
        "Australia/Lord_Howe",
        1,
        "2026-04-04T15:15:00Z",
        ["2026-04-04T15:00:00Z", "2026-04-04T15:30:00Z"],
    );
}

#[test]
fn unknown_zones_are_told() {
    let rules = calendar(Period::Day, "Europe/Atlantis", 1);
    let error = Window::at(&rules, millis("2026-11-21T00:00:00Z")).unwrap_err();
    assert_eq!(
        error.to_string(),
        "time zone `Europe/Atlantis` is not known"
    );
    assert!(zone_is_known("Europe/Berlin") && !zone_is_known("Mars/Olympus"));
}

#[test]
fn only_short_windows_without_money_are_hot() {
    let keeping = |unit, window| {
        let rules = QuotaRules::new(QuotaNode::Organisation, unit, 1, window);
        Window::at(&rules, millis("2026-11-21T00:00:00Z"))
            .unwrap()
            .key
            .keeping
    };
    let minute = || {
        Some(QuotaWindow::Rolling {
            duration_ms: 60_000,
        })
    };
    assert_eq!(keeping(Unit::Requests, minute()), Keeping::Hot);
    assert_eq!(keeping(Unit::Concurrent, None), Keeping::Hot);
    assert_eq!(keeping(Unit::MicroUsd, minute()), Keeping::Durable);
    let hour = Some(QuotaWindow::Rolling {
        duration_ms: 3_600_000,
    });
    assert_eq!(keeping(Unit::Requests, hour), Keeping::Durable);
}

proptest! {
    /// What was admitted less than the window's length ago counts; what was admitted a resolution longer ago does not.
    #[test]
    fn rolling_windows_roll(duration_ms in 60_000..40_000_000_000_u64, now in 50_000_000_000..2_000_000_000_000_u64, age in 0..40_000_000_000_u64) {
        let window = Window::rolling(duration_ms, Timestamp::from_millis(now));
        let bucket = window.key.bucket(Timestamp::from_millis(now - age));
        let counts = bucket >= window.since_ms;
        if age < duration_ms {
            prop_assert!(counts);
        }
        if age > duration_ms + window.key.width_ms {
            prop_assert!(!counts);
        }
        prop_assert!(window.key.width_ms <= duration_ms / 60 + 1);
        prop_assert_eq!(counts, now < bucket + window.counts_for_ms);
    }

    #[test]
    fn calendar_windows_hold_their_moment(
        now in 1_000_000_000_000..4_000_000_000_000_u64,
        every in prop::sample::select(vec![Period::Hour, Period::Day, Period::Week, Period::Month, Period::Quarter, Period::Year]),
        zone in prop::sample::select(vec!["UTC", "Europe/Berlin", "America/Santiago", "Australia/Lord_Howe", "America/Havana", "Asia/Kathmandu"]),
        first_month in 1..=12_u8,
    ) {
        let rules = calendar(every, zone, first_month);
        let window = Window::at(&rules, Timestamp::from_millis(now)).unwrap();
        prop_assert!(window.key.start_ms <= now && now < window.ends.as_millis());
        let before = Window::at(&rules, Timestamp::from_millis(window.key.start_ms - 1)).unwrap();
        prop_assert_eq!(before.ends.as_millis(), window.key.start_ms, "windows leave no gap");
    }
}
