//! The request rate of each token: a bucket each, refilled at a steady rate.
//!
//! Kept in memory, so each process counts for itself: with n replicas behind a balancer a token may make up to n times
//! as many.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use capstan_domain::id::TokenId;

use super::caller::Caller;
use crate::problem::{Code, Problem};

/// The request rate of one token.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RateLimit {
    /// Requests a second, for as long as one likes.
    pub per_second: f64,
    /// Requests at once after a rest.
    pub burst: f64,
}

impl Default for RateLimit {
    /// Generous: meant against loops that ran wild, not against work.
    fn default() -> Self {
        Self { per_second: 5_000.0, burst: 10_000.0 }
    }
}

/// The buckets of the tokens in use: there are no more than tokens that exist.
#[derive(Debug)]
pub(crate) struct Rates {
    limit: RateLimit,
    buckets: Mutex<HashMap<TokenId, Bucket>>,
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    left: f64,
    at: Instant,
}

impl Rates {
    pub(crate) fn new(limit: RateLimit) -> Self {
        Self { limit, buckets: Mutex::default() }
    }

    /// Counts a request. Those who run the installation are not counted.
    pub(crate) fn take(&self, caller: &Caller) -> Result<(), Problem> {
        match caller {
            Caller::Installation(_) | Caller::BusWorker(_) => Ok(()),
            Caller::Token(issued) => self.take_at(issued.token_id, Instant::now()),
        }
    }

    fn take_at(&self, token_id: TokenId, now: Instant) -> Result<(), Problem> {
        let RateLimit { per_second, burst } = self.limit;
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let bucket = buckets.entry(token_id).or_insert(Bucket { left: burst, at: now });
        let rested = now.saturating_duration_since(bucket.at).as_secs_f64();
        *bucket = Bucket { left: (bucket.left + rested * per_second).min(burst), at: now };
        if bucket.left >= 1.0 {
            bucket.left -= 1.0;
            return Ok(());
        }
        let wait_s = ((1.0 - bucket.left) / per_second).ceil().clamp(1.0, 3_600.0) as u64;
        let detail = format!("the token makes more than {per_second} requests a second");
        Err(Problem { retry_after: Some(wait_s), ..Problem::new(Code::RateLimited, detail) })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_token_may_hurry_after_a_rest_and_is_then_held_to_its_rate() {
        let rates = Rates::new(RateLimit { per_second: 0.5, burst: 2.0 });
        let (one, other) = (TokenId(Uuid::from_u128(1)), TokenId(Uuid::from_u128(2)));
        let start = Instant::now();
        assert!(rates.take_at(one, start).is_ok() && rates.take_at(one, start).is_ok());
        let refused = rates.take_at(one, start).unwrap_err();
        assert_eq!((refused.code, refused.retry_after_s()), (Code::RateLimited, Some(2)));
        assert!(rates.take_at(other, start).is_ok(), "each token counts for itself");
        let later = start + Duration::from_secs(2);
        assert!(rates.take_at(one, later).is_ok() && rates.take_at(one, later).is_err());
    }
}
