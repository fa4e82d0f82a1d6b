//! The steps of a long command: announced, timed, added up.

use std::time::Duration;

use crate::run::{Failure, say};
use crate::watch;

/// Steps of one command, in order.
#[derive(Debug, Default)]
pub(crate) struct Steps {
    taken: Vec<(&'static str, Duration)>,
}

impl Steps {
    /// Announces step `name`, takes it, and notes how long that took.
    pub(crate) fn take<T>(
        &mut self,
        name: &'static str,
        step: impl FnOnce() -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        say(&format!("[{}] {name}", self.taken.len() + 1));
        let started = watch::now();
        let outcome = step();
        self.taken.push((name, started.elapsed()));
        outcome.map_err(|failure| Failure::new(format!("{name}: {failure}")))
    }

    /// One line with the time of every step.
    pub(crate) fn times(&self) -> String {
        let mut total = Duration::ZERO;
        let mut parts = Vec::new();
        for (name, took) in &self.taken {
            total += *took;
            parts.push(format!("{name} {} s", took.as_secs()));
        }
        format!("took {} s: {}", total.as_secs(), parts.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_names_its_step() {
        let mut steps = Steps::default();
        assert_eq!(steps.take("lints", || Ok(1)).unwrap(), 1);
        let failure = steps
            .take("tests", || Err::<(), _>(Failure::new("two failed")))
            .unwrap_err();
        assert_eq!(failure.to_string(), "tests: two failed");
        assert_eq!(steps.times(), "took 0 s: lints 0 s, tests 0 s");
    }
}
