//! Which rules a scan holds against text.

use std::fs;
use std::path::Path;

use detect::{Kind, RulePack, RuleProblem, RuleSet, RuleSetBuilder};

use super::{Detector, ScanError};

const BUILT_IN: [Detector; 4] = [
    Detector::Secrets,
    Detector::Pii,
    Detector::HiddenText,
    Detector::Injection,
];

/// Puts together the detectors of `only`, else the rules of `file`, else all built-in detectors.
pub(super) fn load(file: Option<&Path>, only: &[Detector]) -> Result<RuleSet, ScanError> {
    let pack = file.map(read).transpose()?;
    let mut wanted: Vec<Detector> = match (only, &pack) {
        ([], Some(_)) => vec![Detector::Custom],
        ([], None) => BUILT_IN.to_vec(),
        // A file that is named is meant.
        (only, Some(_)) => [only, &[Detector::Custom]].concat(),
        (only, None) => only.to_vec(),
    };
    wanted.sort_unstable();
    wanted.dedup();
    let mut builder = RuleSetBuilder::default();
    for (group, detector) in (0u8..).zip(wanted) {
        match detector {
            Detector::Secrets => builder.secrets(group, &[]),
            Detector::Pii => builder.pii(group, &[]),
            Detector::HiddenText => builder.hidden_text(group),
            Detector::Injection => builder.injection(group),
            Detector::Custom => match &pack {
                Some(pack) => builder.pack(group, pack, &[]),
                None => return Err(ScanError::NoCustomRules),
            },
        }
        .map_err(|problem| problems(file, &[problem]))?;
    }
    builder
        .build()
        .map_err(|problem| problems(file, &[problem]))
}

fn read(path: &Path) -> Result<RulePack, ScanError> {
    let text = fs::read_to_string(path).map_err(|source| ScanError::ReadRules {
        path: path.to_owned(),
        source,
    })?;
    let folder = path.parent().unwrap_or(Path::new(""));
    // As Gitleaks reads them: from where the program was started, else beside the file that names them.
    let beside = |name: &str| {
        fs::read_to_string(name)
            .or_else(|_absent| fs::read_to_string(folder.join(name)))
            .ok()
    };
    RulePack::from_gitleaks_toml(&text, &beside)
        .map(|pack| pack.of_kind(Kind::Custom))
        .map_err(|found| problems(Some(path), &found))
}

fn problems(file: Option<&Path>, problems: &[RuleProblem]) -> ScanError {
    let lines: Vec<String> = problems
        .iter()
        .map(|problem| match file {
            Some(file) => format!("{}: {problem}", file.display()),
            None => problem.to_string(),
        })
        .collect();
    ScanError::Rules {
        problems: lines.join("\n"),
    }
}
