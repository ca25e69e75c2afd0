//! The end of a server's log, for error texts.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

const LINES: usize = 15;
const BYTES: u64 = 16 * 1024;

/// The last lines written to `log` after its first `start` bytes; empty when there are none or it cannot be read.
pub(crate) fn since(log: &Path, start: u64) -> String {
    read(log, start).unwrap_or_default()
}

fn read(log: &Path, start: u64) -> std::io::Result<String> {
    let mut file = File::open(log)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(start.max(length.saturating_sub(BYTES))))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect();
    Ok(lines[lines.len().saturating_sub(LINES)..].join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_lines_of_this_start_are_told() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        let before = "an older start\n";
        let lines: Vec<String> = (0..40).map(|n| format!("line {n}")).collect();
        std::fs::write(&log, format!("{before}{}\n", lines.join("\n"))).unwrap();
        assert_eq!(since(&log, before.len() as u64), lines[25..].join("\n"));
        std::fs::write(&log, format!("{before}fatal: no\n")).unwrap();
        assert_eq!(since(&log, before.len() as u64), "fatal: no");
    }
}
