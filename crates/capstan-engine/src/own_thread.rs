//! A thread with a runtime of its own, for what must go on while all other threads of the process are busy.

use std::future::Future;

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;
use tokio_util::task::AbortOnDropHandle;

/// The thread. It ends when this is dropped, and with it everything that runs there.
#[derive(Debug)]
pub struct OwnThread {
    handle: Handle,
    _until_dropped: oneshot::Sender<()>,
}

impl OwnThread {
    /// Starts the thread.
    pub fn start(name: &str) -> std::io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (until_dropped, dropped) = oneshot::channel();
        std::thread::Builder::new().name(name.to_owned()).spawn(move || {
            // The sender is never used: this ends when it is dropped.
            let _ = runtime.block_on(dropped);
        })?;
        Ok(Self { handle, _until_dropped: until_dropped })
    }

    /// Runs a future there. Dropping the handle ends it.
    pub fn spawn<T: Send + 'static>(
        &self,
        future: impl Future<Output = T> + Send + 'static,
    ) -> AbortOnDropHandle<T> {
        AbortOnDropHandle::new(self.handle.spawn(future))
    }
}
