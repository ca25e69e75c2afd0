//! The metrics of the process as a whole.

capstan_envelope::metrics! {
    /// Bytes of memory that a part of the process holds, by its own estimate, by `part`: see docs/operations/sizing.md.
    Gauge MEMORY = "capstan_memory_bytes";
    /// Bytes of memory that a part of the process may hold, by `part`.
    Gauge MEMORY_LIMIT = "capstan_memory_limit_bytes";
}
