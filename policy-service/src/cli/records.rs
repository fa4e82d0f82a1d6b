//! Exchange records that a dying VM could not deliver and wrote to Envoy's log.

use std::io;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use prost::Message as _;
use tokio::fs::File;
use tokio::io::{AsyncBufReadExt as _, AsyncSeekExt as _, BufReader, SeekFrom};
use wire::mesh::ReportRequest;

/// What a filter's log message starts with when a record follows.
const MARKER: &str = "weir-record:";
/// What Envoy puts before a filter's log message. Text from a client never stands before it in a line.
const FROM_FILTER: &str = "wasm log";

/// Reads a log that grows, and finds the records in what is new.
#[derive(Debug)]
pub(super) struct RecordLog {
    path: PathBuf,
    /// Bytes of whole lines that have been read.
    read: u64,
}

/// What a log held.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) reports: Vec<ReportRequest>,
    /// Lines with the marker that hold no record.
    pub(super) broken: usize,
}

impl RecordLog {
    /// Starts at the beginning of the log at `path`.
    pub(super) fn new(path: &Path) -> Self {
        Self {
            path: path.to_path_buf(),
            read: 0,
        }
    }

    /// Returns the records in the lines that were completed since the last call.
    pub(super) async fn poll(&mut self) -> io::Result<Found> {
        let mut found = Found::default();
        let mut file = match File::open(&self.path).await {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(found),
            Err(e) => return Err(e),
        };
        file.seek(SeekFrom::Start(self.read)).await?;
        let mut lines = BufReader::new(file);
        let mut line = Vec::new();
        while lines.read_until(b'\n', &mut line).await? > 0 && line.last() == Some(&b'\n') {
            self.read = self
                .read
                .saturating_add(u64::try_from(line.len()).unwrap_or(u64::MAX));
            match std::str::from_utf8(&line)
                .ok()
                .and_then(payload)
                .map(decode)
            {
                Some(Some(report)) => found.reports.push(report),
                Some(None) => found.broken += 1,
                None => {}
            }
            line.clear();
        }
        Ok(found)
    }
}

/// The part of a filter's log line after the marker.
fn payload(line: &str) -> Option<&str> {
    let (_, message) = line.split_once(FROM_FILTER)?.1.split_once(": ")?;
    Some(message.strip_prefix(MARKER)?.trim())
}

fn decode(payload: &str) -> Option<ReportRequest> {
    ReportRequest::decode(STANDARD.decode(payload).ok()?.as_slice()).ok()
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn line(vm: u8) -> String {
        let report = ReportRequest {
            vm_id: vec![vm],
            ..ReportRequest::default()
        };
        let payload = STANDARD.encode(report.encode_to_vec());
        format!(
            "[2026-01-01 00:00:00.000][7][critical][wasm] [context.cc:1] wasm log govern vm: {MARKER}{payload}\n"
        )
    }

    #[tokio::test]
    async fn records_are_found_once_and_only_in_whole_lines() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        let mut log = RecordLog::new(file.path());
        let second = line(2);
        let (head, tail) = second.split_at(second.len() / 2);
        write!(file, "something else\n{}{head}", line(1)).unwrap();
        let found = log.poll().await.unwrap();
        assert_eq!(
            found
                .reports
                .iter()
                .map(|report| report.vm_id[0])
                .collect::<Vec<_>>(),
            [1]
        );
        write!(file, "{tail}").unwrap();
        let found = log.poll().await.unwrap();
        assert_eq!(
            found
                .reports
                .iter()
                .map(|report| report.vm_id[0])
                .collect::<Vec<_>>(),
            [2]
        );
        assert!(log.poll().await.unwrap().reports.is_empty());
    }

    #[tokio::test]
    async fn a_missing_log_holds_nothing() {
        let mut log = RecordLog::new(Path::new("/nonexistent/envoy.log"));
        assert!(log.poll().await.unwrap().reports.is_empty());
    }

    #[test]
    fn only_a_filter_message_that_starts_with_the_marker_counts() {
        assert_eq!(payload("[x] wasm log a: weir-record:QQ==\n"), Some("QQ=="));
        assert_eq!(payload("[x] wasm log a: path was weir-record:QQ==\n"), None);
        assert_eq!(payload("[x] bad header: weir-record:QQ==\n"), None);
        assert!(decode("not base64").is_none());
    }
}
