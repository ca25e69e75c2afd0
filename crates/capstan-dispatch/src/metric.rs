//! The metrics of dispatch.

capstan_envelope::metrics! {
    /// Decisions that lost a race and were taken again, by `category`.
    Counter CONFLICTS = "capstan_dispatch_conflicts_total";
    /// Commands that were executed, by `category` and `outcome`.
    Counter COMMANDS = "capstan_dispatch_commands_total";
}
