use clap::CommandFactory as _;
use clap::error::ErrorKind;

use super::*;

fn parse(line: &str) -> Result<Cli, clap::Error> {
    Cli::try_parse_from(line.split(' '))
}

#[test]
fn definitions_are_sound() {
    Cli::command().debug_assert();
}

#[test]
fn every_command_parses_with_its_usual_arguments() {
    for line in [
        "weir up",
        "weir up --data d --listen 0.0.0.0:80 --admin-listen [::1]:81 --envoy e --filter f --workers 2",
        "weir serve --grpc-listen 0.0.0.0:8082 --mesh-url http://a --mesh-url http://b --workers 4",
        "weir show --key",
        "weir token --name ann",
        "weir check policy.json",
        "weir check policy.json --explain --key ci --model gpt-5 --surface openai.chat",
        "weir guardrails list",
        "weir guardrails enable secrets --action redact --data d",
        "weir guardrails disable pii",
        "weir scan",
        "weir scan - src --rules gitleaks.toml --only secrets,pii,hidden_text --format json",
        "weir render envoy",
        "weir render envoy --fragment --policy policy.internal:8082",
        "weir run claude",
        "weir run codex --url http://a --key k -- exec --model m",
        "weir run gemini",
        "weir run opencode",
    ] {
        assert!(parse(line).is_ok(), "{line}: {}", parse(line).unwrap_err());
    }
}

#[track_caller]
fn refuse(line: &str, kind: ErrorKind, part: &str) {
    let error = parse(line).unwrap_err();
    assert_eq!(error.kind(), kind, "{line}: {error}");
    assert!(
        error.to_string().contains(part),
        "`{part}` is missing in: {error}"
    );
}

#[test]
fn wrong_flags_and_values_are_named() {
    refuse(
        "weir up --lisen 127.0.0.1:1",
        ErrorKind::UnknownArgument,
        "--listen",
    );
    refuse(
        "weir up --listen 8080",
        ErrorKind::ValueValidation,
        "ADDRESS:PORT",
    );
    refuse("weir up --workers 0", ErrorKind::ValueValidation, "1..=256");
    refuse("weir scan --only keys", ErrorKind::InvalidValue, "secrets");
    refuse("weir run clude", ErrorKind::InvalidValue, "claude");
    refuse("weir check", ErrorKind::MissingRequiredArgument, "FILE");
    refuse(
        "weir render envoy --policy nowhere",
        ErrorKind::ValueValidation,
        "HOST:PORT",
    );
    refuse("weir servce", ErrorKind::InvalidSubcommand, "serve");
}

#[test]
fn help_explains_each_command() {
    let mut command = Cli::command();
    let help = command.render_help().to_string();
    for name in ["up", "serve", "show", "token", "run", "check", "render"] {
        assert!(
            help.contains(&format!("  {name}")),
            "{name} is missing in:\n{help}"
        );
    }
    assert!(
        !help.contains("child"),
        "the hidden command is shown:\n{help}"
    );
}

#[test]
fn a_report_tells_the_causes_in_one_line() {
    #[derive(Debug, thiserror::Error)]
    #[error("outer")]
    struct Outer(#[source] std::io::Error);
    assert_eq!(
        report(&Outer(std::io::Error::other("inner"))),
        "outer: inner"
    );
}
