//! Does this machine let a process do its work?

use super::Findings;

/// Open files a busy process needs: each connection and live stream is one.
const FILES_WANTED: u64 = 4_096;
/// Open files without which it does not run at all.
const FILES_MIN: u64 = 256;

pub(super) fn look(findings: &mut Findings) {
    let check = "machine.open_files";
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    match open_files(&limits) {
        Some(limit) if limit < FILES_MIN => {
            findings.failed(check, format!("{limit}: at least {FILES_MIN} are needed"));
        }
        Some(limit) if limit < FILES_WANTED => {
            findings.warning(
                check,
                format!("{limit}: each connection and live stream takes one; {FILES_WANTED} are better"),
            );
        }
        Some(u64::MAX) => findings.ok(check, "unlimited"),
        Some(limit) => findings.ok(check, limit.to_string()),
        None => findings.ok(check, "not known on this system"),
    }
}

/// The limit that holds now, from the kernel's table.
fn open_files(limits: &str) -> Option<u64> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    match line.split_whitespace().next()? {
        "unlimited" => Some(u64::MAX),
        limit => limit.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_read_from_the_kernels_table() {
        let table = "Limit                     Soft Limit           Hard Limit           Units     \n\
                     Max open files            1024                 524288               files     \n";
        assert_eq!(open_files(table), Some(1_024));
        assert_eq!(open_files(&table.replace("1024  ", "unlimited")), Some(u64::MAX));
        assert_eq!(open_files(""), None);
    }
}
