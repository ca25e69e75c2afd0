//! The metrics of the engine.

capstan_envelope::metrics! {
    /// 1 while this process leads, else 0.
    Gauge LEADER = "capstan_engine_leader";
    /// Tasks that could run now and wait for a worker or a class.
    Gauge QUEUED = "capstan_engine_queued";
    /// Tasks that may run only later.
    Gauge DELAYED = "capstan_engine_delayed";
    /// Attempts that are leased.
    Gauge RUNNING = "capstan_engine_running";
    /// Effects that wait for execution.
    Gauge ORDERS_WAITING = "capstan_engine_orders_waiting";
    /// Attempts that were leased.
    Counter LEASES = "capstan_engine_leases_total";
    /// Leases that expired without a renewal.
    Counter LEASE_EXPIRIES = "capstan_engine_lease_expiries_total";
    /// Ticks of schedules, by `outcome`: fired, skipped or missed.
    Counter TICKS = "capstan_engine_ticks_total";
    /// Commits that the engine could not read and left out.
    Counter UNREADABLE_COMMITS = "capstan_engine_unreadable_commits_total";
}
