//! The user a child runs as.

use std::{fs, io};

/// The user and group a child is given before its program starts; supplementary groups are dropped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The name in the user database.
    pub name: String,
    /// The user's number.
    pub uid: u32,
    /// The user's main group.
    pub gid: u32,
}

impl Identity {
    /// Looks `name` up in `/etc/passwd`.
    ///
    /// Users known only to a directory service are not found: the C library would have to be asked, and the system
    /// users this is meant for are local by nature.
    pub fn named(name: &str) -> io::Result<Option<Self>> {
        let table = fs::read_to_string("/etc/passwd")?;
        Ok(table.lines().filter_map(Self::from_line).find(|user| user.name == name))
    }

    /// True when this process is root, and so can change its user.
    pub fn is_root() -> bool {
        rustix::process::geteuid().is_root()
    }

    fn from_line(line: &str) -> Option<Self> {
        let mut fields = line.split(':');
        let name = fields.next()?.to_owned();
        let uid = fields.nth(1)?.parse().ok()?;
        let gid = fields.next()?.parse().ok()?;
        Some(Self { name, uid, gid })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_user_table_names_user_and_group() {
        let user = Identity::from_line(
            "postgres:x:101:104:PostgreSQL administrator,,,:/var/lib/postgresql:/bin/bash",
        );
        assert_eq!(user, Some(Identity { name: "postgres".into(), uid: 101, gid: 104 }));
    }

    #[test]
    fn a_broken_line_of_the_user_table_is_passed_over() {
        assert_eq!(Identity::from_line("postgres:x:many:104::/:/bin/sh"), None);
        assert_eq!(Identity::from_line(""), None);
    }

    #[test]
    fn an_unknown_user_is_absent_rather_than_an_error() {
        assert_eq!(Identity::named("capstan-no-such-user").unwrap(), None);
    }
}
