use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Lists the execution classes with settings or history, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ListClasses {}

/// Reads an execution class.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GetClass {
    /// Key of the class.
    pub instance_key: String,
}
