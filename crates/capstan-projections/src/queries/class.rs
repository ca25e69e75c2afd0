//! Reads of execution classes.

use crate::catalogue::classes::class_id;
use crate::queries::select::{Query, Select};

const TABLE: &str = "classes";

/// The execution classes that are configured or have failed, oldest first.
#[derive(Clone, Copy, Debug, Default)]
pub struct ClassFilter;

impl Query for ClassFilter {
    fn select(&self, workspace: &str) -> Select {
        Select::all(TABLE, workspace)
    }
}

/// The execution class with this key.
#[derive(Clone, Copy, Debug)]
pub struct InstanceKey<'a>(pub &'a str);

impl Query for InstanceKey<'_> {
    fn select(&self, workspace: &str) -> Select {
        Select::by_id(TABLE, workspace, class_id(workspace, self.0))
    }
}
