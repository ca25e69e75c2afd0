//! Waiting for something to become true, without guessing how long it takes.

use std::time::{Duration, Instant};

use tokio::time::{sleep, timeout_at};

/// Asks `probe` again and again until it gives a value; panics, naming `what`, when `limit` passes first.
///
/// For conditions nobody announces. Where a position or a notification can be waited for, wait for that.
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
