//! Metrics of a crate, each declared once: its name on `/metrics`, its kind and its help text.

/// A metric as it is published on `/metrics`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metric {
    /// Name, with the unit as its suffix.
    pub name: &'static str,
    /// Kind of its values.
    pub kind: MetricKind,
    /// Description, with the names of its labels.
    pub help: &'static str,
}

/// The kind of a metric's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricKind {
    /// A number that only grows while the process lives.
    Counter,
    /// A number that rises and falls.
    Gauge,
    /// A distribution, published as quantiles, sum and count.
    Histogram,
}

/// Declares the metrics of a crate: a constant with the name of each, and `ALL`. The doc comment is the help text.
///
/// ```
/// capstan_envelope::metrics! {
///     /// Appends that met a conflict.
///     Counter CONFLICTS = "capstan_log_conflicts_total";
/// }
/// # assert_eq!((ALL[0].name, ALL[0].help.trim()), (CONFLICTS, "Appends that met a conflict."));
/// ```
#[macro_export]
macro_rules! metrics {
    ($($(#[doc = $help:literal])+ $kind:ident $metric:ident = $name:literal;)+) => {
        $($(#[doc = $help])+ pub(crate) const $metric: &str = $name;)+

        /// Every metric of this crate.
        pub const ALL: &[$crate::Metric] = &[$($crate::Metric {
            name: $name,
            kind: $crate::MetricKind::$kind,
            help: concat!($($help),+),
        }),+];
    };
}
