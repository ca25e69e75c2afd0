//! The metrics of the projections.

capstan_envelope::metrics! {
    /// Time of one batch: fetching rows, folding and writing.
    Histogram APPLY_SECONDS = "capstan_projection_apply_seconds";
    /// Commits in one batch.
    Histogram BATCH_SIZE = "capstan_projection_batch_size";
    /// Commits of the log that are not in the read models yet.
    Gauge LAG_EVENTS = "capstan_projection_lag_events";
    /// Age of the oldest commit that is not in the read models yet.
    Gauge LAG_SECONDS = "capstan_projection_lag_seconds";
    /// Streams with a commit that could not be folded.
    Gauge PARKED_STREAMS = "capstan_projection_parked_streams";
}
