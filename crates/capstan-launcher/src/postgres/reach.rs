//! Whether the user of Postgres can get to a folder.

use std::path::Path;
use std::time::Duration;

use capstan_child::{ChildCommand, Identity};

/// Whether `identity` (or this user) can enter `folder`.
///
/// Tried rather than computed: modes are only half of the rules, and the kernel knows the other half.
pub(crate) async fn can_enter(folder: &Path, identity: Option<&Identity>) -> bool {
    let mut attempt = ChildCommand::new("/bin/sh").args(["-c", ":"]).current_dir(folder);
    if let Some(identity) = identity {
        attempt = attempt.identity(identity);
    }
    attempt.output(Duration::from_secs(20)).await.is_ok_and(|output| output.status.success())
}
