//! The one thread that forks.
//!
//! Linux sends the parent-death signal when the *thread* that forked ends, not the process. A child forked on a
//! runtime's worker or blocking thread would be killed at the whim of that pool, and one forked on a test's thread
//! with the test. So all forking happens on one thread that lives as long as the process does.

use std::io;
use std::sync::OnceLock;
use std::sync::mpsc::{Sender, channel};
use std::thread;

use tokio::process::{Child, Command};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

struct Request {
    command: Command,
    /// The asker's runtime, which will watch the child.
    runtime: Handle,
    reply: oneshot::Sender<io::Result<Child>>,
}

/// Forks and executes `command` on the spawner thread.
pub(crate) async fn spawn(command: Command) -> io::Result<Child> {
    let (reply, answer) = oneshot::channel();
    let request = Request { command, runtime: Handle::current(), reply };
    let gone = || io::Error::other("the thread that starts children is gone");
    thread_of_the_process().send(request).map_err(|_| gone())?;
    answer.await.map_err(|_| gone())?
}

fn thread_of_the_process() -> &'static Sender<Request> {
    static SPAWNER: OnceLock<Sender<Request>> = OnceLock::new();
    SPAWNER.get_or_init(|| {
        let (sender, requests) = channel::<Request>();
        thread::Builder::new()
            .name("capstan-spawner".into())
            .spawn(move || {
                for mut request in requests {
                    let spawned = {
                        let _runtime = request.runtime.enter();
                        request.command.spawn()
                    };
                    if let Err(Ok(mut unwanted)) = request.reply.send(spawned) {
                        // The asker was cancelled meanwhile; nobody else will ever end this child.
                        let _runtime = request.runtime.enter();
                        let _ = unwanted.start_kill();
                    }
                }
            })
            .expect("a process that cannot start one thread cannot go on");
        sender
    })
}
