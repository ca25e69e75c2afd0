//! Waits for a condition instead of a fixed time.

use std::time::{Duration, Instant};

use tokio::time::{sleep, timeout_at};

/// Polls `probe` until it returns a value; panics with `what` after `limit`.
///
/// For conditions that nothing announces. Prefer to wait for a position or a notification.
///
/// ```
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// use capstan_testkit::eventually::eventually;
/// let mut asked = 0;
/// let value = eventually("three is reached", std::time::Duration::from_secs(5), async || {
///     asked += 1;
///     (asked == 3).then_some(asked)
/// })
/// .await;
/// assert_eq!(value, 3);
/// # });
/// ```
pub async fn eventually<T>(what: &str, limit: Duration, mut probe: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + limit;
    let mut pause = Duration::from_millis(1);
    loop {
        // A probe that hangs is cut off too.
        let answer = timeout_at(deadline.into(), probe()).await;
        match answer {
            Ok(Some(value)) => return value,
            Ok(None) if Instant::now() < deadline => sleep(pause).await,
            Ok(None) | Err(_) => panic!("waited {limit:?} in vain until {what}"),
        }
        pause = (pause * 2).min(Duration::from_millis(50));
    }
}
