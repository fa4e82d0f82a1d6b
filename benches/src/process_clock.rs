//! What processes used, by the system's own accounting: processor time and memory.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use nix::time::{clock_getcpuclockid, clock_gettime};
use nix::unistd::Pid;

/// A process, alone or with everything it started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accounted {
    pub pid: u32,
    pub scope: Scope,
}

/// Whose time counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    Process,
    Tree,
}

impl Accounted {
    /// Returns the processor time used so far, in user and kernel mode, ended threads included.
    ///
    /// It is the sum that `/proc/PID/stat` shows in ticks, read in nanoseconds. In a tree, children that have
    /// ended and were waited for count too.
    ///
    /// # Errors
    /// When the process is gone.
    pub fn cpu(self) -> Result<Duration> {
        match self.scope {
            Scope::Process => one(self.pid),
            Scope::Tree => {
                let mut sum = Duration::ZERO;
                for pid in tree(self.pid)? {
                    // A process may end between the listing and here; its parent then accounts for it.
                    sum += one(pid).unwrap_or_default() + waited_for(pid).unwrap_or_default();
                }
                Ok(sum)
            }
        }
    }

    /// Returns the resident memory in bytes.
    ///
    /// # Errors
    /// When the process is gone.
    pub fn resident_bytes(self) -> Result<u64> {
        let pids = match self.scope {
            Scope::Process => BTreeSet::from([self.pid]),
            Scope::Tree => tree(self.pid)?,
        };
        let mut sum = 0;
        for pid in pids {
            let status = fs::read_to_string(format!("/proc/{pid}/status"))
                .with_context(|| format!("process {pid} is gone"))?;
            let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
            let kib: u64 = line
                .and_then(|line| line.trim().split(' ').next())
                .and_then(|text| text.parse().ok())
                .unwrap_or_default();
            sum += kib * 1_024;
        }
        Ok(sum)
    }
}

fn one(pid: u32) -> Result<Duration> {
    let clock = clock_getcpuclockid(Pid::from_raw(i32::try_from(pid)?))
        .with_context(|| format!("process {pid} has no clock"))?;
    Ok(clock_gettime(clock)?.into())
}

/// Time of ended children: fields 16 and 17 of `/proc/PID/stat`, in ticks of 10 ms.
fn waited_for(pid: u32) -> Result<Duration> {
    let fields = stat(Path::new(&format!("/proc/{pid}/stat")))?;
    let ticks = |at: usize| {
        fields
            .get(at)
            .and_then(|field| field.parse::<u64>().ok())
            .unwrap_or_default()
    };
    Ok(Duration::from_millis((ticks(13) + ticks(14)) * 10))
}

/// Fields of a stat file from the third (state) on; the second may hold spaces.
fn stat(path: &Path) -> Result<Vec<String>> {
    let text = fs::read_to_string(path).with_context(|| format!("{}", path.display()))?;
    let (_, fields) = text
        .rsplit_once(')')
        .context("a stat file without a name")?;
    Ok(fields.split_whitespace().map(str::to_owned).collect())
}

/// Returns `root` and its descendants.
fn tree(root: u32) -> Result<BTreeSet<u32>> {
    let found = children()?;
    let mut tree = BTreeSet::new();
    let mut left = vec![root];
    while let Some(pid) = left.pop() {
        if tree.insert(pid) {
            left.extend(found.get(&pid).into_iter().flatten());
        }
    }
    Ok(tree)
}

/// Returns the child of `parent` whose command is called `name`.
///
/// # Errors
/// When there is none.
pub fn descendant(parent: u32, name: &str) -> Result<u32> {
    tree(parent)?
        .into_iter()
        .find(|pid| {
            fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|comm| comm.trim() == name)
        })
        .with_context(|| format!("process {parent} has started no `{name}`"))
}

fn children() -> Result<BTreeMap<u32, Vec<u32>>> {
    let mut children: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for entry in fs::read_dir("/proc")? {
        let entry = entry?;
        let Some(pid) = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse::<u32>().ok())
        else {
            continue;
        };
        let Ok(fields) = stat(&entry.path().join("stat")) else {
            continue;
        };
        let parent = fields
            .get(1)
            .and_then(|field| field.parse::<u32>().ok())
            .unwrap_or_default();
        children.entry(parent).or_default().push(pid);
    }
    Ok(children)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_of_this_process_grows_with_work() {
        let own = Accounted {
            pid: std::process::id(),
            scope: Scope::Process,
        };
        let before = own.cpu().unwrap();
        let mut sum = 0_u64;
        while own.cpu().unwrap() < before + Duration::from_millis(5) {
            sum = sum.wrapping_add(1);
        }
        assert!(sum > 0);
        assert!(own.resident_bytes().unwrap() > 100_000);
    }

    #[test]
    fn a_tree_counts_children() {
        let mut child = std::process::Command::new("sleep")
            .arg("5")
            .spawn()
            .unwrap();
        assert!(tree(std::process::id()).unwrap().contains(&child.id()));
        assert_eq!(descendant(std::process::id(), "sleep").unwrap(), child.id());
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
