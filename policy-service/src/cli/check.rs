//! `weir check`: every problem of a policy file.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use policy::check::Problem;
use policy::compile::{MeshSecrets, compile};
use policy::compiled::CompiledKey;
use policy::documents::Documents;
use policy::guardrail::{Question, applying, explain, warnings};
use policy::key::KeyHash;
use policy::quota;
use policy::secret::Secret;
use policy::surface::Surface;

use super::terminal;
use crate::ledger::window::zone_is_known;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Policy file, in JSON
    file: PathBuf,
    /// Say what each guardrail does, in the order in which they are asked, and each quota
    #[arg(long)]
    explain: bool,
    /// Say which guardrails look at requests of this virtual key of the file
    #[arg(long, value_name = "NAME", requires = "explain")]
    key: Option<String>,
    /// Say which guardrails look at requests for this model
    #[arg(long, value_name = "MODEL", requires = "explain")]
    model: Option<String>,
    /// Say which guardrails look at requests on this surface, as in openai.chat
    #[arg(long, value_name = "SURFACE", requires = "explain", value_parser = surface)]
    surface: Option<Surface>,
}

/// Surfaces that are looked at when none is named.
const USUAL_SURFACES: [Surface; 4] = [
    Surface::AnthropicMessages,
    Surface::OpenaiChat,
    Surface::OpenaiResponses,
    Surface::GeminiGenerate,
];

fn surface(name: &str) -> Result<Surface, String> {
    Surface::from_name(name).ok_or_else(|| {
        let known = Surface::ALL.map(Surface::name).join(", ");
        format!("known surfaces are {known}")
    })
}

#[derive(Debug, thiserror::Error)]
pub(super) enum CheckError {
    #[error("cannot read `{path}`")]
    Read { path: PathBuf, source: io::Error },
    #[error("there is no key `{name}` in the file")]
    NoKey { name: String },
    #[error("cannot write to standard output")]
    Print { source: io::Error },
}

/// Prints one line for each problem; exit code 1 when there is one.
pub(super) fn run(args: &Args) -> Result<ExitCode, CheckError> {
    let bytes = fs::read(&args.file).map_err(|source| CheckError::Read {
        path: args.file.clone(),
        source,
    })?;
    let folder = args.file.parent().unwrap_or(Path::new(""));
    let checked = documents(&bytes, folder);
    let mut text = verdict(&args.file, &checked);
    if let Ok(documents) = &checked
        && args.explain
    {
        text.push_str(&explained(documents, args)?);
    }
    terminal::answer(&text).map_err(|source| CheckError::Print { source })?;
    Ok(if checked.is_ok() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Reads the file, and those beside it that it names.
fn documents(bytes: &[u8], folder: &Path) -> Result<Documents, Vec<Problem>> {
    let mut file = policy::file::load(bytes)?;
    let read = |path: &str| {
        fs::read_to_string(folder.join(path))
            .map_err(|error| format!("cannot read `{path}`: {error}"))
    };
    let beside = file.resolve(&read);
    let mut checked = file.rehearse();
    if let Err(unread) = beside {
        let mut problems = checked.err().unwrap_or_default();
        // What was not read is absent, and would be reported a second time.
        problems.retain(|problem| {
            let list = |unread: &Problem| unread.path.trim_end_matches(".path").to_owned();
            !unread.iter().any(|unread| problem.path == list(unread))
        });
        problems.extend(unread);
        problems.sort();
        checked = Err(problems);
    }
    checked.and_then(with_known_zones)
}

/// Time zones are the service's to know, not the file's.
fn with_known_zones(documents: Documents) -> Result<Documents, Vec<Problem>> {
    // Ids of a rehearsal count up, so quotas are in the order of the file.
    let numbered = documents.quotas.values().enumerate();
    let problems = numbered.flat_map(|(number, quota)| {
        let of_rules = quota::check::problems(&quota.rules, &zone_is_known).into_iter();
        of_rules.map(move |problem| {
            let path = format!("quotas[{number}].{}", problem.field);
            Problem::new(path, problem.message)
        })
    });
    let problems: Vec<_> = problems.collect();
    if problems.is_empty() {
        Ok(documents)
    } else {
        Err(problems)
    }
}

fn verdict(file: &Path, checked: &Result<Documents, Vec<Problem>>) -> String {
    let name = file.display();
    let lines: Vec<String> = match checked {
        Ok(documents) => {
            let of_quotas = quota::explain::warnings(documents);
            let warnings = warnings(documents).into_iter().chain(of_quotas);
            let warnings = warnings.map(|warning| format!("{name}: warning: {warning}"));
            std::iter::once(format!("{name}: no problem"))
                .chain(warnings)
                .collect()
        }
        Err(problems) => problems
            .iter()
            .map(|problem| format!("{name}: {problem}"))
            .collect(),
    };
    lines.join("\n")
}

/// Says what quotas and guardrails do, and which guardrails look at the request that is asked about.
fn explained(documents: &Documents, args: &Args) -> Result<String, CheckError> {
    let mut text = String::from("\n\n");
    let quotas = quota::explain::explain(documents);
    if !quotas.is_empty() {
        text.push_str("Quotas, in the order in which they are named when several refuse:\n");
        for (number, sentence) in (1..).zip(quotas) {
            text.push_str(&format!("{number}. {sentence}\n"));
        }
        text.push('\n');
    }
    let sentences = explain(documents);
    if sentences.is_empty() {
        text.push_str("No guardrail: texts pass as they are.\n");
        return Ok(text);
    }
    text.push_str("Guardrails, in the order in which they are asked:\n");
    for (number, sentence) in (1..).zip(sentences) {
        text.push_str(&format!("{number}. {sentence}\n"));
    }
    if args.key.is_none() && args.model.is_none() && args.surface.is_none() {
        return Ok(text);
    }
    let secrets = MeshSecrets {
        canary: Secret::new(String::new()),
        token_key: Secret::new(String::new()),
    };
    // Documents without a problem compile.
    let Ok(compiled) = compile(documents, secrets) else {
        return Ok(text);
    };
    let key = match &args.key {
        Some(name) => Some(named_key(documents, &compiled.keys, name)?),
        None => None,
    };
    let surfaces = match &args.surface {
        Some(surface) => vec![*surface],
        None => USUAL_SURFACES.to_vec(),
    };
    for surface in surfaces {
        let question = Question {
            key,
            model: args.model.as_deref().unwrap_or_default(),
            surface,
        };
        let line = match applying(&compiled.mesh, &question) {
            Ok(guardrails) => looks(&guardrails),
            // Of the usual surfaces only those are told on which the model is served.
            Err(_) if args.surface.is_none() => continue,
            Err(error) => error.to_string(),
        };
        text.push_str(&format!("\nOn {}: {line}", surface.name()));
    }
    text.push('\n');
    Ok(text)
}

fn named_key<'k>(
    documents: &Documents,
    keys: &'k BTreeMap<KeyHash, CompiledKey>,
    name: &str,
) -> Result<&'k CompiledKey, CheckError> {
    let mut known = documents.keys.values();
    let found = known.find(|key| key.name == name);
    let found = found.and_then(|key| keys.get(&key.hash));
    found.ok_or_else(|| CheckError::NoKey {
        name: name.to_owned(),
    })
}

fn looks(guardrails: &[(&str, Option<&'static str>)]) -> String {
    let looking = guardrails.iter().filter(|(_, obstacle)| obstacle.is_none());
    let looking = looking.map(|(name, _)| format!("`{name}`"));
    let looking = looking.collect::<Vec<_>>();
    let mut line = if looking.is_empty() {
        "no guardrail looks".to_owned()
    } else {
        format!("looked at by {}", looking.join(", "))
    };
    for (name, obstacle) in guardrails {
        if let Some(obstacle) = obstacle {
            line.push_str(&format!("; not by `{name}`, {obstacle}"));
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(file: PathBuf) -> Args {
        Args {
            file,
            explain: false,
            key: None,
            model: None,
            surface: None,
        }
    }

    fn check(text: &str, want: &[&str]) {
        let checked = documents(text.as_bytes(), Path::new(""));
        let verdict = verdict(Path::new("p.json"), &checked);
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
    fn the_policy_in_the_guide_to_guardrails_has_no_problem() {
        let guide = include_str!("../../../docs/guardrails.md");
        let file = guide
            .split("```json\n")
            .nth(1)
            .and_then(|rest| rest.split("```").next());
        check(file.unwrap(), &["p.json: no problem"]);
    }

    #[test]
    fn the_policy_in_the_guide_to_quotas_is_as_it_is_explained_there() {
        let guide = include_str!("../../../docs/quotas.md");
        let block = |fence: &str| {
            let rest = guide.split_once(fence).unwrap().1;
            rest.split("```").next().unwrap()
        };
        let documents = documents(block("```json\n").as_bytes(), Path::new("")).unwrap();
        let mut args = args(PathBuf::from("p.json"));
        args.explain = true;
        let text = explained(&documents, &args).unwrap();
        let said = block("```text\n");
        assert!(said.starts_with("Quotas, "), "{said}");
        assert!(text.contains(said), "{text}");
    }

    #[test]
    fn what_budgets_do_not_count_is_a_warning() {
        let file = |paths: &str, unit: &str| {
            format!(
                r#"{{
                    "providers": [{{"preset": "openai", "keys": [{{"name": "main", "secret": "env.OPENAI_API_KEY"}}]}}],
                    "teams": [{{"name": "core"}}],
                    "keys": [{{"name": "ci", "owner": {{"team": "core"}}, "opaque_paths": [{paths}], "access": {{
                        "providers": [{{"provider": "openai", "models": ["*"], "provider_keys": ["*"]}}]
                    }}}}],
                    "quotas": [{{"name": "pool", "node": {{"team": "core"}}, "unit": "{unit}", "limit": 5,
                        "models": ["gpt-*"], "window": {{"rolling": {{"duration_ms": 60000}}}}}}]
                }}"#
            )
        };
        let warning = "p.json: warning: `keys[ci].opaque_paths`: what is used on these paths is not known, so \
                       `pool` does not count it; limit `requests` there too";
        check(&file("\"/v1/images/*\"", "micro_usd"), &[warning]);
        for (paths, unit) in [("", "micro_usd"), ("\"/v1/images/*\"", "requests")] {
            let checked = documents(file(paths, unit).as_bytes(), Path::new(""));
            assert_eq!(verdict(Path::new("p.json"), &checked), "p.json: no problem");
        }
    }

    #[test]
    fn a_time_zone_that_is_none_is_a_problem() {
        check(
            r#"{"quotas": [{"name": "a", "node": "organisation", "unit": "requests", "limit": 1,
                "window": {"calendar": {"every": "day", "zone": "Europe/Atlantis"}}}]}"#,
            &["quotas[0].window.calendar.zone", "Europe/Berlin"],
        );
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
            assert_eq!(run(&args(file)).unwrap(), want, "{text}");
        }
        assert!(run(&args(folder.path().join("missing.json"))).is_err());
    }

    const GUARDED: &str = r#"{
        "providers": [{"preset": "openai", "keys": [{"name": "main", "secret": "env.OPENAI_API_KEY"}]}],
        "teams": [{"name": "core"}],
        "keys": [{"name": "ci", "owner": {"team": "core"}, "access": {
            "providers": [{"provider": "openai", "models": ["*"], "provider_keys": ["*"]}]
        }}],
        "guardrails": [
            {"preset": "pii", "scope": {"teams": ["core"]}},
            {"name": "names", "severity": "low", "scope": {"models": ["o3"]}, "stages": [
                {"detectors": [{"words": {"list": "names"}}], "action": "block"}
            ]}
        ],
        "word_lists": [{"name": "names", "path": "names.txt"}]
    }"#;

    #[test]
    fn guardrails_are_explained_in_order_and_for_a_request() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("names.txt"), "nightjar\nbluebird\n").unwrap();
        let documents = documents(GUARDED.as_bytes(), folder.path()).unwrap();
        let mut args = args(PathBuf::from("p.json"));
        args.explain = true;
        let text = explained(&documents, &args).unwrap();
        assert!(
            text.contains("\n1. `pii` (medium): looks for personal data"),
            "{text}"
        );
        assert!(
            text.contains("\n2. `names` (low): looks for the words of the list"),
            "{text}"
        );
        args.key = Some("ci".to_owned());
        args.model = Some("gpt-5".to_owned());
        let text = explained(&documents, &args).unwrap();
        let line = "On openai.chat: looked at by `pii`; not by `names`, it is for other models";
        assert!(text.contains(line), "{text}");
        assert!(!text.contains("gemini.generate"), "{text}");
        args.key = Some("cd".to_owned());
        assert!(explained(&documents, &args).is_err());
    }

    #[test]
    fn a_file_beside_the_policy_that_is_missing_is_told_once() {
        let folder = tempfile::tempdir().unwrap();
        let problems = documents(GUARDED.as_bytes(), folder.path()).unwrap_err();
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert_eq!(problems[0].path, "word_lists[0].path");
    }

    #[test]
    fn warnings_are_no_problems() {
        check(
            r#"{"guardrails": [{"preset": "pii", "scope": {"roles": ["thinking"]}}]}"#,
            &["p.json: no problem\np.json: warning: `guardrails[pii].scope.roles`: thinking"],
        );
    }
}
