//! Versions as programs print them.

use std::fmt;

/// Major, minor and patch; parts a program does not print are 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Version {
    pub(crate) major: u32,
    pub(crate) minor: u32,
    pub(crate) patch: u32,
}

impl Version {
    /// Finds the first word that is a version, as in `nats-server: v2.15.1` or `postgres (PostgreSQL) 18beta1`.
    pub(crate) fn find_in(text: &str) -> Option<Self> {
        text.split_whitespace().find_map(Self::parse)
    }

    fn parse(word: &str) -> Option<Self> {
        let word = word.strip_prefix('v').unwrap_or(word);
        let mut parts = word.split('.').map(|part| {
            let digits = part.find(|c: char| !c.is_ascii_digit()).unwrap_or(part.len());
            part[..digits].parse().ok()
        });
        let major = parts.next()??;
        let minor = parts.next().flatten().unwrap_or(0);
        let patch = parts.next().flatten().unwrap_or(0);
        Some(Self { major, minor, patch })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_as_programs_print_them() {
        let read = |text| Version::find_in(text).map(|version| version.to_string());
        assert_eq!(read("nats-server: v2.15.1").as_deref(), Some("2.15.1"));
        assert_eq!(read("nats-server: v2.14.4-RC.1").as_deref(), Some("2.14.4"));
        assert_eq!(read("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)").as_deref(), Some("15.18.0"));
        assert_eq!(read("postgres (PostgreSQL) 18beta1").as_deref(), Some("18.0.0"));
        assert_eq!(read("command not found"), None);
    }
}
