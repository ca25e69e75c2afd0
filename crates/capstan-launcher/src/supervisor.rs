//! Keeps one server program alive.
//!
//! A program runs with a locked file as its standard input. The lock lasts until the last process of the program is
//! gone, so that no second server starts on data that processes of a killed one still use: Postgres' backends may
//! outlive their postmaster for a moment, and nats-server does not guard its store at all.

mod greeting;

use std::fs::{File, OpenOptions};
use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use capstan_child::{Child, ChildCommand, Signal};
use rustix::process::Pid;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::{lock, log_tail};
pub(crate) use greeting::Greeting;

const READY_LIMIT: Duration = Duration::from_mins(2);
const STOP_GRACE: Duration = Duration::from_secs(20);
/// Time limit for the end of an earlier run's processes.
const REMAINS_LIMIT: Duration = Duration::from_secs(20);
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// A server that ran this long is restarted after the shortest pause.
const STEADY: Duration = Duration::from_secs(5);

/// A server did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The program could not be executed.
    #[error("start {name}")]
    Spawn {
        /// The server.
        name: &'static str,
        /// The error of the system.
        source: io::Error,
    },
    /// A file it needs could not be opened.
    #[error("open {} for {name}", .path.display())]
    Open {
        /// The server.
        name: &'static str,
        /// The file.
        path: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
    /// An earlier one still works on the same data.
    #[error("start {name}: an earlier one still works on the same data (it holds {})", .lock.display())]
    StillRunning {
        /// The server.
        name: &'static str,
        /// The lock it holds.
        lock: PathBuf,
    },
    /// It ended instead of serving.
    #[error("start {name}: it ended with {status}; last lines of {}:\n{tail}", .log.display())]
    Ended {
        /// The server.
        name: &'static str,
        /// Its exit status.
        status: ExitStatus,
        /// Its log.
        log: PathBuf,
        /// The end of its log.
        tail: String,
    },
    /// It runs but does not answer.
    #[error("start {name}: no answer within {} s; last lines of {}:\n{tail}", READY_LIMIT.as_secs(), .log.display())]
    Silent {
        /// The server.
        name: &'static str,
        /// Its log.
        log: PathBuf,
        /// The end of its log.
        tail: String,
    },
}

impl StartError {
    /// True when another port could help.
    pub(crate) fn port_was_taken(&self) -> bool {
        matches!(self, Self::Ended { tail, .. } if tail.to_lowercase().contains("address already in use"))
    }
}

/// One server program and its settings.
pub(crate) struct Program {
    pub(crate) name: &'static str,
    pub(crate) command: Box<dyn Fn() -> ChildCommand + Send + Sync>,
    pub(crate) log: PathBuf,
    pub(crate) lock: PathBuf,
    pub(crate) greeting: Greeting,
    /// Ends it gracefully.
    pub(crate) stop_signal: Signal,
    /// Makes it end at once, with all its processes, losing nothing acknowledged.
    pub(crate) death_signal: Signal,
}

enum Order {
    Kill(oneshot::Sender<()>),
    Stop(oneshot::Sender<()>),
    Resume(oneshot::Sender<Result<(), StartError>>),
}

/// The handle of a supervised server.
pub(crate) struct Supervisor {
    orders: mpsc::Sender<Order>,
    pid: watch::Receiver<Option<u32>>,
    task: JoinHandle<()>,
    lock: PathBuf,
    death_signal: Signal,
    abandoned: bool,
}

impl Supervisor {
    /// Starts the server, waits until it serves, and keeps it alive from then on.
    pub(crate) async fn start(program: Program) -> Result<Self, StartError> {
        let child = run(&program).await?;
        let (orders, inbox) = mpsc::channel(8);
        let (state, pid) = watch::channel(Some(child.pid()));
        let (lock, death_signal) = (program.lock.clone(), program.death_signal);
        let task = tokio::spawn(Watch { program, inbox, state }.keep(child));
        Ok(Self { orders, pid, task, lock, death_signal, abandoned: false })
    }

    /// The process id of the serving process; `None` while it is down.
    pub(crate) fn pid(&self) -> watch::Receiver<Option<u32>> {
        self.pid.clone()
    }

    /// Waits until the server serves.
    pub(crate) async fn until_up(&self) {
        let mut pid = self.pid();
        // What this gives is a lock on the state: it must not outlive the statement.
        let _ = pid.wait_for(Option::is_some).await.map(|pid| *pid);
    }

    /// Kills the server like a crash; returns when it is dead. It is restarted.
    pub(crate) async fn kill(&self) {
        self.order(Order::Kill).await;
    }

    /// Stops the server gracefully and keeps it down.
    pub(crate) async fn stop(&self) {
        self.order(Order::Stop).await;
    }

    /// Starts a stopped server again on the same port; does nothing when it is up.
    pub(crate) async fn resume(&self) -> Result<(), StartError> {
        self.order(Order::Resume).await.unwrap_or(Ok(()))
    }

    async fn order<T>(&self, order: impl FnOnce(oneshot::Sender<T>) -> Order) -> Option<T> {
        let (done, wait) = oneshot::channel();
        self.orders.send(order(done)).await.ok()?;
        wait.await.ok()
    }

    /// Makes the server end without waiting for anything.
    pub(crate) fn abandon(&mut self) {
        if std::mem::replace(&mut self.abandoned, true) {
            // The process id may belong to another process by now.
            return;
        }
        self.task.abort();
        let group = (*self.pid.borrow()).and_then(|pid| Pid::from_raw(pid.cast_signed()));
        if let Some(group) = group {
            let _ = rustix::process::kill_process_group(group, self.death_signal);
        }
    }

    /// Blocks until no process of the server is left, for a short while at most.
    fn await_end(&self) {
        let deadline = Instant::now() + Duration::from_secs(5);
        while matches!(lock::try_lock(&self.lock), Ok(None)) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        self.abandon();
        self.await_end();
    }
}

/// Starts the program and waits until it serves.
async fn run(program: &Program) -> Result<Child, StartError> {
    let Program { name, log, lock, .. } = program;
    let open_failed = |path: &PathBuf, source| StartError::Open { name, path: path.clone(), source };
    let guard = lock::lock_within(lock, REMAINS_LIMIT).await.map_err(|error| open_failed(lock, error))?;
    let guard = guard.ok_or_else(|| StartError::StillRunning { name, lock: lock.clone() })?;
    let (out, before) = open_log(log).map_err(|error| open_failed(log, error))?;
    let err = out.try_clone().map_err(|error| open_failed(log, error))?;
    let command = (program.command)().stdin(guard).stdout(out).stderr(err).death_signal(program.death_signal);
    let mut child = command.spawn().await.map_err(|source| StartError::Spawn { name, source })?;

    let tail = || log_tail::since(log, before);
    let served = tokio::select! {
        () = program.greeting.answered() => true,
        status = child.wait() => {
            let status = status.map_err(|source| StartError::Spawn { name, source })?;
            return Err(StartError::Ended { name, status, log: log.clone(), tail: tail() });
        }
        () = sleep(READY_LIMIT) => false,
    };
    if served { Ok(child) } else { Err(StartError::Silent { name, log: log.clone(), tail: tail() }) }
}

fn open_log(path: &PathBuf) -> io::Result<(File, u64)> {
    let file = OpenOptions::new().create(true).append(true).open(path)?;
    let before = file.metadata()?.len();
    Ok((file, before))
}

/// The task behind a [`Supervisor`].
struct Watch {
    program: Program,
    inbox: mpsc::Receiver<Order>,
    state: watch::Sender<Option<u32>>,
}

/// The reason for which a server is down.
enum Down {
    /// It ended or was killed.
    Crashed,
    /// It was stopped and stays down.
    Stopped,
    /// The supervisor was dropped.
    Abandoned,
}

impl Watch {
    async fn keep(mut self, mut child: Child) {
        let mut pause = FIRST_PAUSE;
        loop {
            let started = Instant::now();
            let down = self.watch(&mut child).await;
            if started.elapsed() > STEADY {
                pause = FIRST_PAUSE;
            }
            let revived = match down {
                Down::Crashed => self.revive(&mut pause).await,
                Down::Stopped => self.await_resume().await,
                Down::Abandoned => None,
            };
            let Some(next) = revived else { return };
            child = next;
            self.state.send_replace(Some(child.pid()));
        }
    }

    /// Follows a running server until it is down.
    async fn watch(&mut self, child: &mut Child) -> Down {
        let name = self.program.name;
        loop {
            tokio::select! {
                status = child.wait() => {
                    self.state.send_replace(None);
                    let status = status.map_or_else(|error| error.to_string(), |status| status.to_string());
                    tracing::warn!(server = name, status, "a server ended by itself and is started again");
                    return Down::Crashed;
                }
                order = self.inbox.recv() => match order {
                    Some(Order::Kill(done)) => {
                        let _ = child.signal(Signal::KILL);
                        let _ = child.wait().await;
                        self.state.send_replace(None);
                        let _ = done.send(());
                        return Down::Crashed;
                    }
                    Some(Order::Stop(done)) => {
                        self.state.send_replace(None);
                        if let Err(error) = child.terminate(self.program.stop_signal, STOP_GRACE).await {
                            tracing::warn!(server = name, %error, "could not see a server end");
                        }
                        let _ = done.send(());
                        return Down::Stopped;
                    }
                    Some(Order::Resume(done)) => {
                        let _ = done.send(Ok(()));
                    }
                    None => return Down::Abandoned,
                },
            }
        }
    }

    /// Starts a crashed server again, for as long as it takes, with growing pauses.
    async fn revive(&mut self, pause: &mut Duration) -> Option<Child> {
        loop {
            // Orders are received during a pause or an attempt, so a server that never starts can still be stopped.
            let attempt = async {
                sleep(*pause).await;
                run(&self.program).await
            };
            tokio::select! {
                started = attempt => {
                    *pause = (*pause * 2).min(LONGEST_PAUSE);
                    match started {
                        Ok(child) => return Some(child),
                        Err(error) => tracing::error!(%error, "a crashed server does not come back; trying again"),
                    }
                }
                order = self.inbox.recv() => match order? {
                    Order::Kill(done) => {
                        let _ = done.send(());
                    }
                    Order::Stop(done) => {
                        let _ = done.send(());
                        return self.await_resume().await;
                    }
                    Order::Resume(done) => {
                        let started = run(&self.program).await;
                        let child = report(started, done);
                        if child.is_some() {
                            return child;
                        }
                    }
                },
            }
        }
    }

    /// Waits for the order to start again.
    async fn await_resume(&mut self) -> Option<Child> {
        loop {
            match self.inbox.recv().await? {
                Order::Kill(done) | Order::Stop(done) => {
                    let _ = done.send(());
                }
                Order::Resume(done) => {
                    let started = run(&self.program).await;
                    let child = report(started, done);
                    if child.is_some() {
                        return child;
                    }
                }
            }
        }
    }
}

fn report(
    started: Result<Child, StartError>,
    done: oneshot::Sender<Result<(), StartError>>,
) -> Option<Child> {
    let (child, outcome) = match started {
        Ok(child) => (Some(child), Ok(())),
        Err(error) => (None, Err(error)),
    };
    let _ = done.send(outcome);
    child
}
