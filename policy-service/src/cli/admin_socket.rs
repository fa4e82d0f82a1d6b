//! Envoy's admin interface over its Unix socket: the few requests that starting and stopping need.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::time::timeout;

/// Unix socket paths are limited to 108 bytes with their end mark.
const LONGEST_PATH: usize = 107;
const PATIENCE: Duration = Duration::from_secs(2);
/// Answers of the requests made here are a few lines.
const ANSWER_CAP_BYTES: u64 = 1 << 20;

/// Where Envoy's admin interface listens.
#[derive(Clone, Debug)]
pub(super) struct AdminSocket {
    path: PathBuf,
}

impl AdminSocket {
    /// A socket in `folder`, or, where its path is too long for one, in the system's folder for temporary files.
    pub(super) fn place(folder: &Path, process: u32) -> Self {
        let path = folder.join("envoy-admin.sock");
        if path.as_os_str().len() <= LONGEST_PATH {
            return Self { path };
        }
        Self {
            path: std::env::temp_dir().join(format!("weir-{process}.sock")),
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Removes what an Envoy that was killed left behind.
    pub(super) fn clear(&self) -> io::Result<()> {
        match std::fs::remove_file(&self.path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Asks Envoy to finish what runs and to turn new connections away.
    pub(super) async fn drain(&self) -> io::Result<()> {
        self.ask("POST", "/drain_listeners?graceful")
            .await
            .map(drop)
    }

    /// Requests that Envoy is serving on all of its listeners.
    pub(super) async fn active_requests(&self) -> io::Result<u64> {
        let answer = self
            .ask("GET", "/stats?filter=downstream_rq_active")
            .await?;
        Ok(sum_of_stats(&answer, "downstream_rq_active"))
    }

    async fn ask(&self, method: &str, path: &str) -> io::Result<String> {
        let exchange = async {
            let mut stream = UnixStream::connect(&self.path).await?;
            let length = if method == "POST" {
                "content-length: 0\r\n"
            } else {
                ""
            };
            let request = format!(
                "{method} {path} HTTP/1.1\r\nhost: envoy\r\nconnection: close\r\n{length}\r\n"
            );
            stream.write_all(request.as_bytes()).await?;
            let mut answer = Vec::new();
            stream
                .take(ANSWER_CAP_BYTES)
                .read_to_end(&mut answer)
                .await?;
            Ok(String::from_utf8_lossy(&answer).into_owned())
        };
        timeout(PATIENCE, exchange)
            .await
            .unwrap_or_else(|late| Err(io::Error::new(io::ErrorKind::TimedOut, late)))
    }
}

/// Adds up the lines `http.PREFIX.NAME: N`, the admin interface's own requests left out.
fn sum_of_stats(answer: &str, name: &str) -> u64 {
    answer
        .lines()
        .filter_map(|line| line.split_once(": "))
        .filter(|(stat, _)| stat.starts_with("http.") && !stat.starts_with("http.admin."))
        .filter(|(stat, _)| stat.rsplit('.').next() == Some(name))
        .filter_map(|(_, count)| count.trim().parse::<u64>().ok())
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn admin_requests_are_not_counted() {
        let answer = "HTTP/1.1 200 OK\r\n\r\nhttp.admin.downstream_rq_active: 1\nhttp.mesh.downstream_rq_active: 3\n\
                      http.other.downstream_rq_active: 2\nhttp.mesh.downstream_rq_active_total: 9\n";
        assert_eq!(sum_of_stats(answer, "downstream_rq_active"), 5);
    }

    #[test]
    fn a_long_folder_moves_the_socket() {
        let short = AdminSocket::place(Path::new("/d"), 7);
        assert_eq!(short.path(), Path::new("/d/envoy-admin.sock"));
        let long = AdminSocket::place(Path::new(&"/folder".repeat(20)), 7);
        assert!(long.path().as_os_str().len() <= LONGEST_PATH);
    }
}
