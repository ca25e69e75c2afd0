//! The metrics of the log.

capstan_envelope::metrics! {
    /// Time of one append, by `outcome`.
    Histogram APPEND_SECONDS = "capstan_log_append_seconds";
    /// Appends that were refused because the stream had moved on.
    Counter CONFLICTS = "capstan_log_conflicts_total";
    /// Appends whose acknowledgement was lost, so that the outcome was looked up.
    Counter UNKNOWN_OUTCOMES = "capstan_log_unknown_outcomes_total";
    /// Number of commits that left in one atomic batch.
    Histogram GROUP_COMMIT_SIZE = "capstan_log_group_commit_size";
    /// Atomic batches that were refused and whose commits were sent one by one.
    Counter GROUP_COMMITS_REFUSED = "capstan_log_group_commits_refused_total";
    /// Entities with a history in the log, which nats-server holds in memory by their subjects.
    Gauge SUBJECTS = "capstan_log_subjects";
    /// Bytes of the log, with what nats-server adds to each commit.
    Gauge BYTES = "capstan_log_bytes";
    /// Consumers that were created again after a loss or a doubt.
    Counter CONSUMER_RECREATIONS = "capstan_log_consumer_recreations_total";
    /// Consumers that a reader of the whole log opened for itself, because the shared tail had not what it needed.
    Counter OWN_TAILS = "capstan_log_own_tails_total";
    /// Log lines and run events that were stored.
    Counter TELEMETRY_LINES = "capstan_telemetry_lines_total";
}
