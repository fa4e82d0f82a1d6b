//! Two builds of the filter in one run: is the newer one worse than the older one?
//!
//! Both are measured in each round, one right after the other, and take turns in being first: what the machine does
//! meanwhile meets both. The differences of the rounds are a sample whose mean has a 95 % interval (Student's t).

use serde::Serialize;

/// Fewer rounds make an interval that says nothing.
pub const FEWEST_ROUNDS: usize = 10;

/// The newer build is worse when the whole interval lies above this.
const WORSE_ABOVE_PERCENT: f64 = 5.0;

/// Two-sided 95 % quantiles of Student's t for 9, 10, … 30 degrees of freedom.
const T: [f64; 22] = [
    2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086, 2.080,
    2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
];

/// What the newer build costs beside the older one.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Paired {
    pub rounds: usize,
    /// Mean of the rounds.
    pub older_us: f64,
    pub newer_us: f64,
    /// Mean difference of the rounds, and its 95 % interval, in per cent of the older build's mean.
    pub change_percent: f64,
    pub lowest_percent: f64,
    pub highest_percent: f64,
}

/// What the interval says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// All of it lies above 5 %.
    Worse,
    /// It reaches from 5 % or below to above 5 %: more rounds would tell.
    NotShown,
    /// All of it lies at or below 5 %.
    NotWorse,
}

impl Paired {
    /// Compares samples of the same rounds; `None` with fewer than [`FEWEST_ROUNDS`].
    pub fn of(older: &[f64], newer: &[f64]) -> Option<Self> {
        let rounds = older.len().min(newer.len());
        if rounds < FEWEST_ROUNDS {
            return None;
        }
        let differences: Vec<f64> = newer
            .iter()
            .zip(older)
            .map(|(new, old)| new - old)
            .collect();
        let difference = mean(&differences);
        let squares = differences.iter().map(|it| (it - difference).powi(2));
        let deviation = (squares.sum::<f64>() / (rounds - 1) as f64).sqrt();
        let quantile = T.get(rounds - FEWEST_ROUNDS).or(T.last())?;
        let half = quantile * deviation / (rounds as f64).sqrt();
        let older_us = mean(older);
        let percent = |us: f64| us * 100.0 / older_us;
        Some(Self {
            rounds,
            older_us,
            newer_us: mean(newer),
            change_percent: percent(difference),
            lowest_percent: percent(difference - half),
            highest_percent: percent(difference + half),
        })
    }

    /// Returns what the interval says.
    pub fn verdict(&self) -> Verdict {
        if self.lowest_percent > WORSE_ABOVE_PERCENT {
            Verdict::Worse
        } else if self.highest_percent > WORSE_ABOVE_PERCENT {
            Verdict::NotShown
        } else {
            Verdict::NotWorse
        }
    }

    /// Returns the line of the table below [`TABLE_HEAD`].
    pub fn line(&self, scenario: &str) -> String {
        let verdict = match self.verdict() {
            Verdict::Worse => "**worse**",
            Verdict::NotShown => "not shown to be worse",
            Verdict::NotWorse => "not worse",
        };
        format!(
            "| {scenario} | {} | {:.1} | {:.1} | {:+.1} % | {:+.1} % … {:+.1} % | {verdict} |\n",
            self.rounds,
            self.older_us,
            self.newer_us,
            self.change_percent,
            self.lowest_percent,
            self.highest_percent
        )
    }
}

/// Head of the table of comparisons.
pub const TABLE_HEAD: &str = "| exchange | rounds | other filter, CPU µs | this filter, CPU µs | change | 95 % interval | this filter is |\n| --- | ---: | ---: | ---: | ---: | ---: | --- |\n";

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paired(changes: &[f64]) -> Paired {
        // The machine gets slower meanwhile, for both.
        let older: Vec<f64> = (0..changes.len()).map(|nth| 100.0 + nth as f64).collect();
        let newer: Vec<f64> = older
            .iter()
            .zip(changes)
            .map(|(old, by)| old + by)
            .collect();
        Paired::of(&older, &newer).unwrap()
    }

    #[test]
    fn worse_is_only_what_is_so_with_certainty() {
        let rows: [(&[f64], Verdict); 4] = [
            (&[10.0; 10], Verdict::Worse),
            (&[0.0; 10], Verdict::NotWorse),
            (&[-20.0; 12], Verdict::NotWorse),
            (
                &[
                    40.0, -30.0, 40.0, -30.0, 40.0, -30.0, 40.0, -30.0, 40.0, -30.0,
                ],
                Verdict::NotShown,
            ),
        ];
        for (changes, verdict) in rows {
            let paired = paired(changes);
            assert_eq!(paired.verdict(), verdict, "{paired:?}");
        }
    }

    /// Differences 1 to 10: mean 5.5, deviation 3.0277, and so 5.5 ± 2.262 × 3.0277 / √10.
    #[test]
    fn the_interval_is_students() {
        let older = [100.0; 10];
        let newer: Vec<f64> = (1..=10).map(|by| 100.0 + f64::from(by)).collect();
        let paired = Paired::of(&older, &newer).unwrap();
        let close = |is: f64, wanted: f64| assert!((is - wanted).abs() < 0.001, "{is} {wanted}");
        close(paired.change_percent, 5.5);
        close(paired.lowest_percent, 3.3343);
        close(paired.highest_percent, 7.6657);
    }

    #[test]
    fn few_rounds_say_nothing() {
        assert_eq!(Paired::of(&[1.0; 9], &[2.0; 9]), None);
    }
}
