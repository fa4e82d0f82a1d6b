//! What this process and those that it starts may use of the machine: open files, memory.

use std::path::Path;

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Where a container's memory limit stands, in both versions of control groups.
const CONTAINER_LIMITS: [&str; 2] = [
    "/sys/fs/cgroup/memory.max",
    "/sys/fs/cgroup/memory/memory.limit_in_bytes",
];
/// Taken when the system does not say.
const FEW_DESCRIPTORS: u32 = 1_024;

/// Raises the number of files that this process may have open as far as it may, and returns it. Processes that it
/// starts have the same.
pub(super) fn raise_descriptors() -> u32 {
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else {
        return FEW_DESCRIPTORS;
    };
    let there_are = match setrlimit(Resource::RLIMIT_NOFILE, hard, hard) {
        Ok(()) => hard,
        Err(error) => {
            tracing::warn!(%error, soft, hard, "the limit of open files cannot be raised");
            soft
        }
    };
    u32::try_from(there_are).unwrap_or(u32::MAX)
}

/// Whether this process runs in a container with a memory limit.
pub(super) fn has_container_limit() -> bool {
    let machine = machine_memory_bytes().unwrap_or(u64::MAX);
    CONTAINER_LIMITS.iter().any(|path| {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        // Without a limit it says `max`, or a number that no machine has.
        text.trim()
            .parse::<u64>()
            .is_ok_and(|limit| limit < machine)
    })
}

/// Returns the memory of the machine.
pub(super) fn machine_memory_bytes() -> Option<u64> {
    kilobytes(Path::new("/proc/meminfo"), "MemTotal:")
}

/// Returns the memory that the process `pid` takes up.
pub(super) fn resident_bytes(pid: i32) -> Option<u64> {
    kilobytes(Path::new(&format!("/proc/{pid}/status")), "VmRSS:")
}

/// Reads `NAME   123 kB`.
fn kilobytes(path: &Path, name: &str) -> Option<u64> {
    let text = std::fs::read_to_string(path).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    let number = line.trim().strip_suffix("kB")?.trim();
    number.parse::<u64>().ok()?.checked_mul(1_024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_soft_limit_becomes_the_hard_one() {
        let descriptors = raise_descriptors();
        let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        assert_eq!(soft, hard);
        assert_eq!(u64::from(descriptors), soft.min(u64::from(u32::MAX)));
    }

    #[test]
    fn this_process_takes_less_than_the_machine_has() {
        let mine = resident_bytes(i32::try_from(std::process::id()).unwrap()).unwrap();
        let all = machine_memory_bytes().unwrap();
        assert!(mine > 100_000 && mine < all, "{mine} of {all}");
        assert_eq!(resident_bytes(-1), None);
    }
}
