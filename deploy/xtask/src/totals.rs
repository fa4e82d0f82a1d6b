//! What `cargo test` said, added up.

/// Mark of a line by which a test says, past libtest's capture, what it could not test here and why.
const NOT_TESTED: &str = "NOT TESTED:";

/// Counts and names from the output of `cargo test`.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    passed: u64,
    failed: u64,
    ignored: u64,
    /// The test program whose lines come in.
    suite: String,
    /// Tests of the suite that were said to run for long and have not ended.
    slow: Vec<String>,
    failures: Vec<String>,
    not_tested: Vec<String>,
}

impl Totals {
    /// Takes one line of output.
    pub(crate) fn line(&mut self, line: &str) {
        let line = line.trim();
        if let Some(suite) = suite(line) {
            self.suite = suite.to_owned();
            self.slow.clear();
        } else if let Some(counts) = line.strip_prefix("test result: ") {
            self.passed += count(counts, "passed");
            self.failed += count(counts, "failed");
            self.ignored += count(counts, "ignored");
        } else if let Some(at) = line.find(NOT_TESTED) {
            // Tests that run side by side may have written on the same line before.
            let what = line.get(at..).unwrap_or(line).to_owned();
            if !self.not_tested.contains(&what) {
                self.not_tested.push(what);
            }
        } else if let Some(test) = line.strip_prefix("test ") {
            self.test(test);
        }
    }

    fn test(&mut self, text: &str) {
        if let Some((name, _)) = text.split_once(" has been running for over") {
            self.slow.push(name.to_owned());
        } else if let Some((name, outcome)) = text.rsplit_once(" ... ") {
            self.slow.retain(|slow| slow != name);
            if outcome.starts_with("FAILED") {
                self.failures.push(format!("{}: {name}", self.suite));
            }
        }
    }

    /// Whether any test ran.
    pub(crate) fn any(&self) -> bool {
        self.passed + self.failed > 0
    }

    /// Where the run was when it was ended.
    pub(crate) fn place(&self) -> String {
        if self.slow.is_empty() {
            format!("in {}", self.suite)
        } else {
            format!("in {}: {}", self.suite, self.slow.join(", "))
        }
    }

    /// Names what failed and what was not tested.
    pub(crate) fn details(&self) -> String {
        let mut text = String::new();
        for failure in &self.failures {
            text.push_str(&format!("FAILED: {failure}\n"));
        }
        for gap in &self.not_tested {
            text.push_str(&format!("{gap}\n"));
        }
        text
    }

    /// The closing line: `N passed, N failed, N skipped`.
    pub(crate) fn closing(&self) -> String {
        let not_tested = u64::try_from(self.not_tested.len()).unwrap_or(u64::MAX);
        format!(
            "{} passed, {} failed, {} skipped",
            self.passed,
            self.failed,
            self.ignored.saturating_add(not_tested)
        )
    }
}

/// The name in cargo's `Running suites/up.rs (target/debug/deps/up-0a1b)` and `Doc-tests weir_detect`.
fn suite(line: &str) -> Option<&str> {
    if let Some(rest) = line.strip_prefix("Running ") {
        let (source, program) = rest.split_once(" (")?;
        let program = program.rsplit('/').next()?.trim_end_matches(')');
        // Many crates have a `src/lib.rs`; the program is named after the crate.
        return Some(match program.rsplit_once('-') {
            Some((name, _)) if source.starts_with("unittests") => name,
            _ => source,
        });
    }
    line.starts_with("Doc-tests ").then_some(line)
}

/// The number before `what` in `ok. 12 passed; 0 failed; …`.
fn count(counts: &str, what: &str) -> u64 {
    counts
        .split([';', '.'])
        .filter_map(|part| part.trim().strip_suffix(what))
        .find_map(|number| number.trim().parse().ok())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn totals(output: &str) -> Totals {
        let mut totals = Totals::default();
        output.lines().for_each(|line| totals.line(line));
        totals
    }

    #[test]
    fn suites_are_added_up() {
        let totals = totals(
            "     Running unittests src/lib.rs (target/debug/deps/weir_detect-0a1b)\n\
             test one ... ok\n\
             test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 3 filtered out; finished in 0.01s\n\
             Running suites/up.rs (target/debug/deps/up-0a1b)\n\
             test a::b ... FAILED\n\
             test result: FAILED. 4 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 9.5s\n\
             Doc-tests weir_detect\n\
             test result: ok. 2 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s\n",
        );
        assert_eq!(totals.closing(), "18 passed, 1 failed, 1 skipped");
        assert_eq!(totals.details(), "FAILED: suites/up.rs: a::b\n");
        assert!(totals.any());
    }

    #[test]
    fn what_was_not_tested_is_counted_once() {
        let totals = totals(
            "test x ... NOT TESTED: Redis: no redis-server\nok\nNOT TESTED: Redis: no redis-server\n\
             test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out\n",
        );
        assert_eq!(totals.closing(), "1 passed, 0 failed, 1 skipped");
        assert_eq!(totals.details(), "NOT TESTED: Redis: no redis-server\n");
    }

    #[test]
    fn the_place_of_a_run_that_hangs_is_named() {
        let mut totals = totals(
            "Running unittests src/lib.rs (/t/debug/deps/weir_engine-0a1b)\n\
             test long has been running for over 60 seconds\n\
             test other has been running for over 60 seconds\n",
        );
        assert_eq!(totals.place(), "in weir_engine: long, other");
        totals.line("test long ... ok");
        assert_eq!(totals.place(), "in weir_engine: other");
        totals.line("Doc-tests weir_engine");
        assert_eq!(totals.place(), "in Doc-tests weir_engine");
        assert!(!totals.any());
    }
}
