use std::fs;
use std::path::Path;

use clap::Parser;
use tempfile::TempDir;

use super::*;

const RULES: &str = r#"
[[rules]]
id = "shop-token"
description = "A token of the shop"
regex = '''shop_([a-z0-9]{8,40})'''
keywords = ["shop_"]
"#;

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    args: Args,
}

/// A folder with files in it and a rule file beside it.
struct Tree {
    folder: TempDir,
}

impl Tree {
    fn new(files: &[(&str, &[u8])]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("rules.toml"), RULES).unwrap();
        let tree = Self { folder };
        for (name, text) in files {
            let path = tree.path(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        tree
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join("tree").join(name)
    }

    fn args(&self, words: &[&str]) -> Args {
        let rules = self.folder.path().join("rules.toml");
        let line = ["scan", "--rules", rules.to_str().unwrap()];
        Line::try_parse_from(line.iter().chain(words)).unwrap().args
    }

    /// The findings as `FILE:LINE:COLUMN`, with files named from the tree on.
    fn places(&self, words: &[&str]) -> Vec<String> {
        let seen = self.seen(words);
        assert_eq!(seen.problems, Vec::<String>::new());
        seen.found
            .iter()
            .map(|found| {
                let file = Path::new(&found.file)
                    .strip_prefix(self.path(""))
                    .unwrap_or(Path::new(&found.file));
                format!("{}:{}:{}", file.display(), found.line, found.column)
            })
            .collect()
    }

    fn seen(&self, words: &[&str]) -> walk::Seen {
        let args = self.args(words);
        let rules = rules::load(args.rules.as_deref(), &args.only).unwrap();
        let fingerprints = Fingerprints::new(None);
        walk::scan(&args, &|| Scanner::new(&rules, &fingerprints))
    }
}

const HIT: &[u8] = b"x\n a = shop_q8w2e7r5t1 \n";

#[test]
fn findings_come_in_the_order_of_files_and_places() {
    let tree = Tree::new(&[
        ("b.txt", b"shop_q8w2e7r5 shop_00000000\n\nshop_11111111"),
        ("a/c.txt", HIT),
        ("none.txt", b"shop_"),
    ]);
    let root = tree.path("");
    let want = ["a/c.txt:2:11", "b.txt:1:6", "b.txt:1:20", "b.txt:3:6"];
    for _ in 0..5 {
        assert_eq!(tree.places(&[root.to_str().unwrap()]), want);
    }
}

#[test]
fn offsets_and_entropy_are_the_values_own() {
    let tree = Tree::new(&[("f", HIT)]);
    let seen = tree.seen(&[tree.path("f").to_str().unwrap()]);
    let found = seen.found.first().unwrap();
    assert_eq!(HIT.get(found.start..found.end).unwrap(), b"q8w2e7r5t1");
    assert_eq!(
        (found.rule.as_str(), found.entropy_milli),
        ("shop-token", 3_322)
    );
    assert_eq!(found.preview, "a = shop_…[10 bytes]");
    assert_eq!(seen.summary(), "1 finding in 1 file; 1 scanned");
}

#[test]
fn folders_are_walked_without_hidden_ignored_and_binary_files() {
    let tree = Tree::new(&[
        ("seen.txt", HIT),
        (".env", HIT),
        ("ignored.txt", HIT),
        ("private/x", HIT),
        ("binary", b"\0shop_q8w2e7r5"),
        (".git/config", HIT),
        (".ignore", b"ignored.txt\n"),
        (".weirignore", b"private\n"),
    ]);
    let root = tree.path("");
    let root = root.to_str().unwrap();
    assert_eq!(tree.places(&[root]), ["seen.txt:2:11"]);
    assert_eq!(
        tree.places(&[root, "--hidden"]),
        [".env:2:11", "seen.txt:2:11"]
    );
    assert_eq!(
        tree.places(&[root, "--no-ignore"]),
        ["ignored.txt:2:11", "private/x:2:11", "seen.txt:2:11"]
    );
    let summary = tree.seen(&[root]).summary();
    assert!(summary.contains("1 skipped as binary"), "{summary}");
}

#[test]
fn what_is_named_is_scanned_whatever_it_is() {
    let tree = Tree::new(&[
        (".env", HIT),
        ("ignored.txt", HIT),
        ("binary", b"\0 shop_q8w2e7r5"),
        (".ignore", b"ignored.txt\n"),
    ]);
    std::os::unix::fs::symlink(tree.path(".env"), tree.path("link")).unwrap();
    for (name, want) in [
        (".env", ".env:2:11"),
        ("ignored.txt", "ignored.txt:2:11"),
        ("binary", "binary:1:8"),
        ("link", "link:2:11"),
    ] {
        assert_eq!(tree.places(&[tree.path(name).to_str().unwrap()]), [want]);
    }
}

#[test]
fn a_file_named_twice_is_told_once() {
    let tree = Tree::new(&[("f", HIT)]);
    let (file, root) = (tree.path("f"), tree.path(""));
    let words = [file.to_str().unwrap(), root.to_str().unwrap()];
    assert_eq!(tree.places(&words), ["f:2:11"]);
}

#[test]
fn no_value_is_printed() {
    let value = "q8w2e7r5t1y9u3i6o4p0";
    let text = format!("shop_{value} shop_{value}, then shop_{value}\n");
    let tree = Tree::new(&[("f", text.as_bytes())]);
    let seen = tree.seen(&[tree.path("f").to_str().unwrap()]);
    assert_eq!(seen.found.len(), 3);
    for format in [Format::Text, Format::Json] {
        let printed = print::all(&seen.found, format);
        assert!(!printed.contains(value.get(4..).unwrap()), "{printed}");
    }
}

#[test]
fn exit_codes_tell_clean_found_and_incomplete() {
    let tree = Tree::new(&[("hit", HIT), ("clean", b"nothing")]);
    let path = |name| tree.path(name).to_str().unwrap().to_owned();
    let outcome = |words: &[&str]| scan(&tree.args(words), None).unwrap();
    assert_eq!(outcome(&[&path("clean")]), Outcome::Clean);
    assert_eq!(outcome(&[&path("hit")]), Outcome::Found);
    assert_eq!(outcome(&[&path("missing")]), Outcome::Incomplete);
    assert_eq!(
        outcome(&[&path("hit"), &path("missing")]),
        Outcome::Incomplete
    );
}

#[test]
fn every_problem_of_a_rule_file_is_told() {
    let tree = Tree::new(&[(
        "bad.toml",
        b"[[rules]]\nid = 'one'\nregex = '('\n[[rules]]\nid = 'two'\nregex = '(?=x)y'\n",
    )]);
    let path = tree.path("bad.toml");
    let line = ["scan", "--rules", path.to_str().unwrap()];
    let args = Line::try_parse_from(line).unwrap().args;
    let text = super::super::report(&scan(&args, None).unwrap_err());
    for part in ["bad.toml", "`one`", "`two`"] {
        assert!(text.contains(part), "`{part}` is missing in: {text}");
    }
    assert_eq!(run(&args), ExitCode::from(INCOMPLETE));
}

#[test]
fn a_rule_file_may_extend_one_beside_it() {
    let tree = Tree::new(&[
        ("base.toml", RULES.as_bytes()),
        ("own.toml", b"[extend]\npath = 'base.toml'\n"),
        ("f", HIT),
    ]);
    let (rules, file) = (tree.path("own.toml"), tree.path("f"));
    let line = [
        "scan",
        "--rules",
        rules.to_str().unwrap(),
        file.to_str().unwrap(),
    ];
    let args = Line::try_parse_from(line).unwrap().args;
    assert_eq!(scan(&args, None).unwrap(), Outcome::Found);
}

#[test]
fn custom_rules_alone_need_their_file() {
    let args = Line::try_parse_from(["scan", "--only", "custom"])
        .unwrap()
        .args;
    assert!(matches!(scan(&args, None), Err(ScanError::NoCustomRules)));
}
