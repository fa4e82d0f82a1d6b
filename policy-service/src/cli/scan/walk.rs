//! From paths to texts.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use ignore::{DirEntry, WalkBuilder, WalkState};

use super::print::Printed;
use super::{Args, Scanner};

/// The name of standard input, as argument and in findings.
pub(super) const STDIN: &str = "-";

/// Files are read whole.
const MAX_FILE_BYTES: u64 = 1 << 30;

/// A file with a zero byte in its first bytes is no text; Git decides so too.
const BINARY_BYTES: u64 = 8_000;

/// What was seen.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// By file, then by place.
    pub(super) found: Vec<Printed>,
    /// What could not be scanned, and why.
    pub(super) problems: Vec<String>,
    texts: usize,
    binaries: usize,
}

impl Seen {
    /// One sentence.
    pub(super) fn summary(&self) -> String {
        let mut files: Vec<&str> = self.found.iter().map(|found| found.file.as_str()).collect();
        files.dedup();
        let mut text = format!(
            "{} in {}; {} scanned",
            counted(self.found.len(), "finding"),
            counted(files.len(), "file"),
            self.texts
        );
        if self.binaries > 0 {
            text.push_str(&format!(", {} skipped as binary", self.binaries));
        }
        text
    }

    fn sort(&mut self) {
        self.found.sort_by(|one, other| {
            (&one.file, one.start, one.end, &one.rule).cmp(&(
                &other.file,
                other.start,
                other.end,
                &other.rule,
            ))
        });
        // A file may have been named and walked to.
        self.found.dedup();
        self.problems.sort_unstable();
        self.problems.dedup();
    }
}

fn counted(number: usize, what: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {what}{plural}")
}

/// Scans everything that `args` names, in parallel; every thread has a scanner of its own.
pub(super) fn scan<'r>(args: &Args, scanner: &(dyn Fn() -> Scanner<'r> + Sync)) -> Seen {
    let seen = Mutex::new(Seen::default());
    let (stdin, paths): (Vec<&PathBuf>, Vec<&PathBuf>) = args
        .paths
        .iter()
        .partition(|path| path.as_os_str() == STDIN);
    if !stdin.is_empty() {
        let mut text = Vec::new();
        match read_rest(io::stdin().lock(), &mut text) {
            Ok(()) => note(&seen, Look::Text(scanner().scan(STDIN, &text))),
            Err(error) => note(&seen, Look::Failed(format!("standard input: {error}"))),
        }
    }
    if let Some(walk) = walk(args, &paths) {
        walk.build_parallel().run(|| {
            let mut scanner = scanner();
            let seen = &seen;
            Box::new(move |entry| {
                match entry {
                    Ok(entry) => note(seen, look(&entry, &mut scanner)),
                    Err(error) => note(seen, Look::Failed(error.to_string())),
                }
                WalkState::Continue
            })
        });
    }
    let mut seen = seen.into_inner().unwrap_or_else(PoisonError::into_inner);
    seen.sort();
    seen
}

fn walk(args: &Args, paths: &[&PathBuf]) -> Option<WalkBuilder> {
    let (first, others) = paths.split_first()?;
    let mut walk = WalkBuilder::new(first);
    for path in others {
        walk.add(path);
    }
    walk.standard_filters(!args.no_ignore)
        .hidden(!args.hidden)
        // Git's own folder is no part of the tree, hidden or not.
        .filter_entry(|entry| entry.depth() == 0 || entry.file_name() != ".git");
    if !args.no_ignore {
        walk.add_custom_ignore_filename(".weirignore");
    }
    Some(walk)
}

/// What came of looking at one thing.
enum Look {
    Text(Vec<Printed>),
    Binary,
    Failed(String),
    /// A folder, or something else that holds no text.
    Nothing,
}

fn note(seen: &Mutex<Seen>, look: Look) {
    let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
    match look {
        Look::Text(found) => {
            seen.texts += 1;
            seen.found.extend(found);
        }
        Look::Binary => seen.binaries += 1,
        Look::Failed(problem) => seen.problems.push(problem),
        Look::Nothing => {}
    }
}

fn look(entry: &DirEntry, scanner: &mut Scanner<'_>) -> Look {
    let path = entry.path();
    // What was named is scanned whatever it is, a pipe or a link too; the walk takes files alone.
    let is_named = entry.depth() == 0;
    let is_text = if is_named {
        !path.is_dir()
    } else {
        entry.file_type().is_some_and(|kind| kind.is_file())
    };
    if !is_text {
        return Look::Nothing;
    }
    match read(path, is_named) {
        Ok(Some(text)) => Look::Text(scanner.scan(&name(path), &text)),
        Ok(None) => Look::Binary,
        Err(error) => Look::Failed(format!("{}: {error}", path.display())),
    }
}

fn name(path: &Path) -> String {
    let name = path.to_string_lossy();
    name.strip_prefix("./").unwrap_or(&name).to_owned()
}

/// Reads a file; `None` where it is binary and was not named.
fn read(path: &Path, is_named: bool) -> io::Result<Option<Vec<u8>>> {
    let mut file = File::open(path)?;
    let mut text = Vec::new();
    if !is_named {
        file.by_ref().take(BINARY_BYTES).read_to_end(&mut text)?;
        if text.contains(&0) {
            return Ok(None);
        }
    }
    read_rest(file, &mut text)?;
    Ok(Some(text))
}

fn read_rest(from: impl io::Read, text: &mut Vec<u8>) -> io::Result<()> {
    let read = from.take(MAX_FILE_BYTES).read_to_end(text)?;
    if u64::try_from(read).is_ok_and(|read| read < MAX_FILE_BYTES) {
        return Ok(());
    }
    Err(io::Error::new(
        io::ErrorKind::FileTooLarge,
        "1 GiB or more; scan it in parts",
    ))
}
