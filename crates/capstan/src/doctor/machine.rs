//! Checks this machine's limits for a process.

use rustix::process::{Resource, getrlimit};

use super::Findings;

/// Open files a busy process needs: each connection and live stream is one.
const FILES_WANTED: u64 = 4_096;
/// Open files below which the process does not run at all.
const FILES_MIN: u64 = 256;

pub(super) fn look(findings: &mut Findings) {
    let check = "machine.open_files";
    match getrlimit(Resource::Nofile).current {
        Some(limit) if limit < FILES_MIN => {
            findings.failed(check, format!("{limit}: at least {FILES_MIN} are needed"));
        }
        Some(limit) if limit < FILES_WANTED => {
            findings.warning(
                check,
                format!("{limit}: each connection and live stream takes one; {FILES_WANTED} are better"),
            );
        }
        Some(limit) => findings.ok(check, limit.to_string()),
        None => findings.ok(check, "unlimited"),
    }
}
