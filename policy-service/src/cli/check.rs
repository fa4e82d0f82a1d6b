//! `weir check`: every problem of a policy file.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use policy::check::Problem;

use super::terminal;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Policy file, in JSON
    file: PathBuf,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum CheckError {
    #[error("cannot read `{path}`")]
    Read { path: PathBuf, source: io::Error },
    #[error("cannot write to standard output")]
    Print { source: io::Error },
}

/// Prints one line for each problem; exit code 1 when there is one.
pub(super) fn run(args: &Args) -> Result<ExitCode, CheckError> {
    let bytes = fs::read(&args.file).map_err(|source| CheckError::Read {
        path: args.file.clone(),
        source,
    })?;
    let problems = problems(&bytes);
    terminal::answer(&verdict(&args.file, &problems))
        .map_err(|source| CheckError::Print { source })?;
    Ok(if problems.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn problems(bytes: &[u8]) -> Vec<Problem> {
    match policy::file::load(bytes) {
        Ok(file) => file.check(),
        Err(problems) => problems,
    }
}

fn verdict(file: &Path, problems: &[Problem]) -> String {
    let name = file.display();
    if problems.is_empty() {
        return format!("{name}: no problem");
    }
    let lines: Vec<String> = problems
        .iter()
        .map(|problem| format!("{name}: {problem}"))
        .collect();
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, want: &[&str]) {
        let verdict = verdict(Path::new("p.json"), &problems(text.as_bytes()));
        for part in want {
            assert!(verdict.contains(part), "`{part}` is missing in:\n{verdict}");
        }
    }

    #[test]
    fn a_good_file_has_no_problem() {
        check(r#"{"teams": [{"name": "core"}]}"#, &["p.json: no problem"]);
    }

    #[test]
    fn every_problem_is_told_with_its_path() {
        check(
            r#"{"teams": [{"name": "core", "colour": 1}], "usres": []}"#,
            &["teams[0]", "colour", "usres"],
        );
    }

    #[test]
    fn a_file_that_is_not_json_is_a_problem() {
        check("teams: []", &["p.json: "]);
    }

    #[test]
    fn the_file_in_the_guide_has_no_problem() {
        let guide = include_str!("../../../docs/getting-started.md");
        let files: Vec<&str> = guide
            .split("```json\n")
            .skip(1)
            .filter_map(|rest| rest.split("```").next())
            .collect();
        assert!(!files.is_empty());
        for file in files {
            check(file, &["p.json: no problem"]);
        }
    }

    #[test]
    fn the_exit_code_tells_good_from_bad() {
        let folder = tempfile::tempdir().unwrap();
        for (text, want) in [
            ("{}", ExitCode::SUCCESS),
            (r#"{"x": 1}"#, ExitCode::FAILURE),
        ] {
            let file = folder.path().join("p.json");
            fs::write(&file, text).unwrap();
            assert_eq!(run(&Args { file }).unwrap(), want, "{text}");
        }
        assert!(
            run(&Args {
                file: folder.path().join("missing.json")
            })
            .is_err()
        );
    }
}
