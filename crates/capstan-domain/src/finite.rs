//! Numbers an event may hold. JSON has no infinity: it would be written as `null` and never be read again, so a
//! command's numbers are bounded, and a number that is not finite is refused where it would be written.

use serde::{Serialize, Serializer};

use crate::change::Change;

/// The largest amount a command may name: budgets, scores, growth factors. Sums of costs stop here.
pub const AMOUNT_MAX: f64 = 1e12;

/// True for a finite amount from nothing to [`AMOUNT_MAX`].
pub fn is_amount(value: f64) -> bool {
    (0.0..=AMOUNT_MAX).contains(&value)
}

/// Writes a number and refuses one that is not finite.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes fields by reference")]
pub(crate) fn serialize<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    if !value.is_finite() {
        return Err(serde::ser::Error::custom("a number that is not finite cannot be stored"));
    }
    value.serialize(serializer)
}

/// Writes a number, if there is one, and refuses one that is not finite.
#[expect(clippy::ref_option, reason = "serde passes fields by reference")]
pub(crate) fn serialize_option<S: Serializer>(value: &Option<f64>, serializer: S) -> Result<S::Ok, S::Error> {
    match value {
        Some(number) => serialize(number, serializer),
        None => serializer.serialize_none(),
    }
}

/// Writes what becomes of a number, and refuses one that is not finite.
pub(crate) fn serialize_change<S: Serializer>(
    change: &Change<f64>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serialize_option(&change.value().copied(), serializer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_amount_is_finite_not_negative_and_bounded() {
        assert!([0.0, -0.0, 0.5, AMOUNT_MAX].into_iter().all(is_amount));
        let absurd = [-0.1, 1.1e12, f64::MAX, f64::INFINITY, f64::NEG_INFINITY, f64::NAN];
        assert!(!absurd.into_iter().any(is_amount));
    }
}
