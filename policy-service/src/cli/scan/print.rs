//! Findings as lines.

use detect::Severity;
use serde::Serialize;

use super::Format;
use super::preview::printable;

/// A finding, ready to be printed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Printed {
    pub(super) rule: String,
    pub(super) severity: Severity,
    pub(super) file: String,
    pub(super) line: usize,
    pub(super) column: usize,
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) entropy_milli: u32,
    pub(super) fingerprint: String,
    pub(super) preview: String,
}

/// The JSON of a finding.
#[derive(Serialize)]
struct Line<'f> {
    rule: &'f str,
    file: &'f str,
    line: usize,
    column: usize,
    start: usize,
    end: usize,
    entropy: f64,
    fingerprint: &'f str,
}

/// One line for each finding.
pub(super) fn all(found: &[Printed], format: Format) -> String {
    let mut text = String::new();
    for finding in found {
        match format {
            Format::Text => text.push_str(&for_person(finding)),
            Format::Json => text.push_str(&for_program(finding)),
        }
        text.push('\n');
    }
    text
}

fn for_person(finding: &Printed) -> String {
    format!(
        "{}:{}:{}: {} ({}): {}",
        printable(&finding.file),
        finding.line,
        finding.column,
        finding.rule,
        severity(finding.severity),
        finding.preview,
    )
}

fn for_program(finding: &Printed) -> String {
    let line = Line {
        rule: &finding.rule,
        file: &finding.file,
        line: finding.line,
        column: finding.column,
        start: finding.start,
        end: finding.end,
        entropy: f64::from(finding.entropy_milli) / 1_000.0,
        fingerprint: &finding.fingerprint,
    };
    // Text and finite numbers always have a form in JSON.
    serde_json::to_string(&line).unwrap_or_default()
}

fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Low => "low",
        Severity::Medium => "medium",
        Severity::High => "high",
        Severity::Critical => "critical",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding() -> Printed {
        Printed {
            rule: "aws-access-key".to_owned(),
            severity: Severity::Critical,
            file: "a\n\"b\".rs".to_owned(),
            line: 3,
            column: 7,
            start: 40,
            end: 60,
            entropy_milli: 3_684,
            fingerprint: "00ff".to_owned(),
            preview: "key = AKIA…[20 bytes]".to_owned(),
        }
    }

    #[test]
    fn a_person_reads_one_line() {
        assert_eq!(
            all(&[finding()], Format::Text),
            "a\\u{a}\"b\".rs:3:7: aws-access-key (critical): key = AKIA…[20 bytes]\n"
        );
    }

    #[test]
    fn a_program_reads_one_object_a_line() {
        assert_eq!(
            all(&[finding(), finding()], Format::Json),
            concat!(
                r#"{"rule":"aws-access-key","file":"a\n\"b\".rs","line":3,"column":7,"start":40,"end":60,"entropy":3.684,"fingerprint":"00ff"}"#,
                "\n"
            )
            .repeat(2)
        );
        assert_eq!(all(&[], Format::Json), "");
    }
}
