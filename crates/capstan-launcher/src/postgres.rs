//! Postgres: its settings, and how it is found and its cluster made.

pub(crate) mod cluster;
pub(crate) mod find;
pub(crate) mod reach;

use std::path::{Path, PathBuf};

use capstan_child::{ChildCommand, Identity};

use crate::search::SearchError;

/// The name of the database and of its owner.
pub(crate) const DATABASE: &str = "capstan";

/// The programs of one Postgres installation, checked to run as the user who will run them.
#[derive(Clone, Debug)]
pub(crate) struct Programs {
    pub(crate) folder: PathBuf,
    pub(crate) version: crate::version::Version,
}

impl Programs {
    /// A command of this installation, run as `identity`.
    pub(crate) fn command(&self, program: &str, identity: Option<&Identity>) -> ChildCommand {
        let command = ChildCommand::new(self.folder.join(program));
        match identity {
            Some(identity) => command.identity(identity),
            None => command,
        }
    }
}

/// The user to run Postgres as: nobody special, unless this process is root, whom Postgres refuses.
pub(crate) fn identity() -> Result<Option<Identity>, SearchError> {
    if !Identity::is_root() {
        return Ok(None);
    }
    let found = ["postgres", "nobody"].into_iter().find_map(|name| Identity::named(name).ok().flatten());
    found.map(Some).ok_or(SearchError::NoUser)
}

/// The arguments of the server.
pub(crate) fn arguments(cluster: &Path, port: u16, throwaway: bool) -> Vec<String> {
    let mut settings = vec![
        "listen_addresses=127.0.0.1".to_owned(),
        format!("port={port}"),
        // No socket file at all: the usual folder is closed to others, and ours may have too long a name.
        "unix_socket_directories=".to_owned(),
        "cluster_name=capstan".to_owned(),
        "log_destination=stderr".to_owned(),
        "logging_collector=off".to_owned(),
        "max_connections=200".to_owned(),
        "shared_buffers=256MB".to_owned(),
        "max_wal_size=4GB".to_owned(),
        "timezone=UTC".to_owned(),
        "log_timezone=UTC".to_owned(),
    ];
    if throwaway {
        settings.extend(["fsync=off".to_owned(), "full_page_writes=off".to_owned()]);
    }
    let mut arguments = vec!["-D".to_owned(), cluster.to_string_lossy().into_owned()];
    for setting in settings {
        arguments.extend(["-c".to_owned(), setting]);
    }
    arguments
}
