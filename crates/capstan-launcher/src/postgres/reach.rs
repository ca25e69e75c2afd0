//! Checks that the user of Postgres can enter a folder.

use std::path::Path;
use std::time::Duration;

use capstan_child::{ChildCommand, Identity};

/// True when `identity` (or this user) can enter `folder`.
///
/// Tried rather than computed: file modes are only part of the rules.
pub(crate) async fn can_enter(folder: &Path, identity: Option<&Identity>) -> bool {
    let mut attempt = ChildCommand::new("/bin/sh").args(["-c", ":"]).current_dir(folder);
    if let Some(identity) = identity {
        attempt = attempt.identity(identity);
    }
    attempt.output(Duration::from_secs(20)).await.is_ok_and(|output| output.status.success())
}
