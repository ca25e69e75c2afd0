//! The metrics of live subscriptions.

capstan_envelope::metrics! {
    /// Subscribers that are connected.
    Gauge SUBSCRIBERS = "capstan_live_subscribers";
    /// Subscribers that were dropped because memory had forgotten what they had not read.
    Counter SLOW_SUBSCRIBERS = "capstan_live_slow_subscribers_total";
    /// Frames that told a subscriber of a gap.
    Counter GAPS = "capstan_live_gaps_total";
}
