//! The metrics of live subscriptions.

capstan_envelope::metrics! {
    /// Subscribers that are connected.
    Gauge SUBSCRIBERS = "capstan_live_subscribers";
    /// Queues that were closed because their subscriber was too slow.
    Counter SLOW_SUBSCRIBERS = "capstan_live_slow_subscribers_total";
    /// Frames that told a subscriber of a gap.
    Counter GAPS = "capstan_live_gaps_total";
}
