//! Tells an Envoy how much of the memory that it may have it uses: it cannot see itself what filters hold.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::interval;

use super::limits;
use crate::render::MemoryMonitor;

/// Envoy may take three quarters of the machine's memory.
const SHARE: (u64, u64) = (3, 4);
const PULSE: Duration = Duration::from_millis(500);

/// A file in which Envoy reads how full it is, from 0 to 1.
#[derive(Clone, Debug)]
pub(super) struct Pressure {
    file: PathBuf,
    cap_bytes: u64,
}

impl Pressure {
    /// A file in `folder`; `None` in a container with a limit, which Envoy reads itself.
    pub(super) fn place(folder: &Path) -> io::Result<Option<Self>> {
        if limits::has_container_limit() {
            return Ok(None);
        }
        let (part, of) = SHARE;
        let machine = limits::machine_memory_bytes().unwrap_or(u64::MAX);
        let pressure = Self {
            file: folder.canonicalize()?.join("envoy-memory"),
            cap_bytes: (machine / of).saturating_mul(part).max(1),
        };
        pressure.write(0)?;
        Ok(Some(pressure))
    }

    /// Returns how Envoy is to watch its memory.
    pub(super) fn monitor(this: Option<&Self>) -> MemoryMonitor {
        this.map_or(MemoryMonitor::Container, |this| {
            MemoryMonitor::File(this.file.clone())
        })
    }

    /// Tells Envoy, the process `pid`, for as long as it runs.
    pub(super) async fn tell(self, pid: i32) {
        let mut pulse = interval(PULSE);
        loop {
            pulse.tick().await;
            let Some(bytes) = limits::resident_bytes(pid) else {
                return;
            };
            if let Err(error) = self.write(bytes) {
                tracing::warn!(%error, "envoy is not told how much memory it takes");
            }
        }
    }

    /// Replaces the file: Envoy does not notice what is written into it.
    fn write(&self, bytes: u64) -> io::Result<()> {
        let thousandths = (bytes / 1_000)
            .saturating_mul(1_000_000)
            .checked_div(self.cap_bytes)
            .unwrap_or_default()
            .min(1_000);
        let (whole, rest) = (thousandths / 1_000, thousandths % 1_000);
        let fresh = self.file.with_extension("new");
        std::fs::write(&fresh, format!("{whole}.{rest:03}\n"))?;
        std::fs::rename(fresh, &self.file)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_holds_a_share_of_what_there_may_be() {
        let folder = tempfile::tempdir().unwrap();
        let pressure = Pressure {
            file: folder.path().join("memory"),
            cap_bytes: 4_000_000_000,
        };
        for (bytes, want) in [
            (0, "0.000\n"),
            (1_000_000_000, "0.250\n"),
            (3_999_999_999, "0.999\n"),
            (4_000_000_000, "1.000\n"),
            (u64::MAX, "1.000\n"),
        ] {
            pressure.write(bytes).unwrap();
            assert_eq!(std::fs::read_to_string(&pressure.file).unwrap(), want);
        }
    }

    #[tokio::test]
    async fn telling_ends_with_the_process() {
        let folder = tempfile::tempdir().unwrap();
        let pressure = Pressure {
            file: folder.path().join("memory"),
            cap_bytes: 1,
        };
        pressure.tell(-1).await;
    }
}
