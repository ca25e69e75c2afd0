//! The loop of the leading engine over everything that can happen.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use async_nats::{Message, Subject};
use capstan_contract::causes::explain;
use capstan_domain::matching::StreamKey;
use capstan_envelope::Recorded;
use capstan_eventlog::{ReadError, Tail, TailBatch};
use chrono::{DateTime, Utc};
use futures_util::StreamExt as _;
use futures_util::stream::SelectAll;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::clock::now;
use crate::dependencies::Dependencies;
use crate::leader_error::LeaderError;
use crate::leadership::{Leadership, LeadershipError};
use crate::metric;
use crate::process::{
    CallId, ClassOrder, ClassSettled, Effect, Loaded, Order, Process, ScheduleKey, ScheduleSettled, Settled,
    ToolAnswer, ToolRequest,
};
use crate::protocol::{Answer, Request, subjects_served};
use crate::startup::{PORTION, Started, start, take_commits};
use crate::{orders, ticking};

/// Most tasks of orders nobody waits for that are loaded at once: fewer than the connections of the read models, so that a
/// lease need not wait until all of them are.
const LOADS_MAX: usize = 8;
/// Effects that wait to be begun, from which on no timer fires and no commit is taken.
const WAITING_MAX: usize = 2048;
/// Most timers that fire in one turn.
const TIMERS_MAX: usize = 256;
/// Interval at which the gauges are set.
const MEASURE_EVERY: Duration = Duration::from_secs(1);

/// The reason the loop ended without a failure.
#[derive(Debug)]
pub(crate) enum End {
    /// Another engine leads, or none.
    Deposed(LeadershipError),
    /// The engine is to stop.
    Stopped,
}

/// Everything that can happen.
enum LoopEvent {
    Commits(Result<TailBatch, ReadError>),
    CommitsWait,
    Requested(Message),
    Completed(Result<Completed, JoinError>),
    TimePassed,
    Deposed(LeadershipError),
    Stopped,
}

/// A completed effect with its outcome.
enum Completed {
    Order(Box<Order>, Settled),
    Load(StreamKey, Loaded),
    ClassOrder(Box<ClassOrder>, ClassSettled),
    ToolCall(Box<ToolRequest>, ToolAnswer),
    Schedule(Arc<ScheduleKey>, Option<DateTime<Utc>>, ScheduleSettled),
}

/// The loop of the leading engine.
pub(crate) struct LeaderLoop {
    dependencies: Dependencies,
    process: Process,
    tail: Tail,
    /// Commits of the tail that were not taken yet.
    commits: std::vec::IntoIter<Arc<Recorded>>,
    requests: SelectAll<async_nats::Subscriber>,
    /// The subject for the answer to each call.
    callers: HashMap<CallId, Subject>,
    calls: u64,
    /// Effects not begun yet.
    waiting: VecDeque<Effect>,
    /// Orders a worker waits for: they go before the others, and beside as many as may be under way.
    asked: VecDeque<Order>,
    under_way: JoinSet<Completed>,
    /// A permit for each task that is loaded for an order nobody waits for.
    loads: Arc<Semaphore>,
    /// Calls of endpoints: they may take long, and must not keep commands waiting. The process bounds their number.
    calling: JoinSet<Completed>,
    replies: mpsc::UnboundedSender<(Subject, Answer)>,
    /// Ends with the loop.
    _writer: AbortOnDropHandle<()>,
    measured_at: tokio::time::Instant,
}

impl LeaderLoop {
    /// Loads the open tasks and reads the log to its end; only then serves.
    pub(crate) async fn begin(dependencies: Dependencies) -> Result<Self, LeaderError> {
        let Started { process, tail, waiting } = start(&dependencies).await?;
        let mut requests = SelectAll::new();
        for subject in subjects_served(&dependencies.config.subjects) {
            requests.push(dependencies.nats.subscribe(subject).await?);
        }
        // A lost flush only delays the first request by a retry of its sender.
        let _ = dependencies.nats.flush().await;
        let (replies, outgoing) = mpsc::unbounded_channel();
        let writer = tokio::spawn(reply(dependencies.nats.clone(), outgoing));
        Ok(Self {
            dependencies,
            process,
            tail,
            commits: Vec::new().into_iter(),
            requests,
            callers: HashMap::new(),
            calls: 0,
            waiting,
            asked: VecDeque::new(),
            under_way: JoinSet::new(),
            loads: Arc::new(Semaphore::new(LOADS_MAX)),
            calling: JoinSet::new(),
            replies,
            _writer: AbortOnDropHandle::new(writer),
            measured_at: tokio::time::Instant::now(),
        })
    }

    /// Leads until deposed or stopped. Orders under way are dropped then: the log has their fate.
    ///
    /// Every turn does a bounded amount of work: so many commits, so many timers, and neither while many effects wait to
    /// be begun. A flood of one kind therefore keeps no other waiting.
    pub(crate) async fn run(
        mut self,
        leadership: &mut Leadership,
        stop: &CancellationToken,
    ) -> Result<End, LeaderError> {
        loop {
            self.perform();
            let has_room = self.waiting.len() < WAITING_MAX;
            let due = if has_room { self.process.next_due() } else { self.process.next_due_without_timers() };
            let may_commit = has_room && self.commits.len() > 0;
            let event = tokio::select! {
                () = stop.cancelled() => LoopEvent::Stopped,
                reason = leadership.lost() => LoopEvent::Deposed(reason),
                Some(completed) = self.under_way.join_next() => LoopEvent::Completed(completed),
                Some(completed) = self.calling.join_next() => LoopEvent::Completed(completed),
                Some(message) = self.requests.next() => LoopEvent::Requested(message),
                () = tokio::task::yield_now(), if may_commit => LoopEvent::CommitsWait,
                batch = self.tail.next(), if has_room && self.commits.len() == 0 => LoopEvent::Commits(batch),
                () = until(due) => LoopEvent::TimePassed,
            };
            match event {
                LoopEvent::Stopped => return Ok(End::Stopped),
                LoopEvent::Deposed(reason) => return Ok(End::Deposed(reason)),
                LoopEvent::Completed(Ok(completed)) => self.completed(completed),
                LoopEvent::Completed(Err(panicked)) => return Err(LeaderError::Panicked(panicked)),
                LoopEvent::Requested(message) => self.requested(message),
                LoopEvent::Commits(batch) => self.commits = batch?.commits.into_iter(),
                LoopEvent::CommitsWait => {
                    let portion: Vec<_> = self.commits.by_ref().take(PORTION).collect();
                    take_commits(&self.dependencies, &mut self.process, &portion)?;
                }
                LoopEvent::TimePassed => {}
            }
        }
    }

    fn completed(&mut self, completed: Completed) {
        match completed {
            Completed::Order(order, settled) => self.process.settled(&order, &settled, now()),
            Completed::ClassOrder(order, settled) => self.process.class_settled(&order, settled, now()),
            Completed::ToolCall(request, answer) => self.process.tool_called(&request, answer, now()),
            Completed::Load(key, loaded) => self.process.loaded(&key, &loaded, now()),
            Completed::Schedule(key, tick, settled) => {
                self.process.schedule_settled(&key, tick, settled, now());
            }
        }
    }

    fn requested(&mut self, message: Message) {
        let Some(caller) = message.reply else { return };
        let Ok(request) = serde_json::from_slice::<Request>(&message.payload) else {
            // A request of another release; its client reports that to its caller.
            let _ = self.replies.send((caller, Answer::Unreadable));
            return;
        };
        self.calls += 1;
        let call = CallId(self.calls);
        self.callers.insert(call, caller);
        let fresh = uuid::Builder::from_random_bytes(rand::random()).into_uuid();
        self.process.request(call, request, fresh, now());
    }

    /// Takes the effects that are due, and begins as many as may be under way.
    fn perform(&mut self) {
        let timers_max = if self.waiting.len() < WAITING_MAX { TIMERS_MAX } else { 0 };
        for effect in self.process.turn(timers_max, now()) {
            match effect {
                Effect::Answer(call, answer) => {
                    if let Some(caller) = self.callers.remove(&call) {
                        // Fails only when the writer is gone, and then the loop ends too.
                        let _ = self.replies.send((caller, answer));
                    }
                }
                Effect::CallTool(request) => self.call_tool(request),
                Effect::Execute(order) if order.is_waited_for() => self.asked.push_back(order),
                Effect::Execute(_)
                | Effect::OrderClass(_)
                | Effect::Load(_)
                | Effect::Tick(_)
                | Effect::CheckAgent(_)
                | Effect::LoadSchedule(_) => self.waiting.push_back(effect),
            }
        }
        let orders_max = self.dependencies.config.orders_max;
        while self.under_way.len() < 2 * orders_max
            && let Some(order) = self.asked.pop_front()
        {
            self.begin_effect(Effect::Execute(order));
        }
        while self.under_way.len() < orders_max
            && let Some(effect) = self.waiting.pop_front()
        {
            self.begin_effect(effect);
        }
        if self.measured_at.elapsed() >= MEASURE_EVERY {
            self.measured_at = tokio::time::Instant::now();
            let depth = self.process.depth();
            metrics::gauge!(metric::QUEUED).set(depth.queued as f64);
            metrics::gauge!(metric::DELAYED).set(depth.delayed as f64);
            metrics::gauge!(metric::RUNNING).set(depth.running as f64);
            metrics::gauge!(metric::ORDERS_WAITING).set(self.waiting.len() as f64);
        }
    }

    fn begin_effect(&mut self, effect: Effect) {
        let deciders = self.dependencies.deciders.clone();
        match effect {
            Effect::Execute(order) => {
                let loads = Arc::clone(&self.loads);
                self.under_way.spawn(async move {
                    let settled = orders::execute(&deciders.tasks, &order, &loads).await;
                    Completed::Order(Box::new(order), settled)
                });
            }
            Effect::Load(key) => {
                self.under_way.spawn(async move {
                    let loaded = orders::load(&deciders.tasks, &key).await;
                    Completed::Load(key, loaded)
                });
            }
            Effect::OrderClass(order) => {
                let classes = Arc::clone(&self.dependencies.deciders.classes);
                self.under_way.spawn(async move {
                    let settled = orders::order_class(&classes, &order).await;
                    Completed::ClassOrder(Box::new(order), settled)
                });
            }
            Effect::Tick(order) => {
                let grace_ms = self.dependencies.config.grace_ms;
                self.under_way.spawn(async move {
                    let settled = ticking::tick(&deciders, &order, grace_ms).await;
                    Completed::Schedule(order.key, Some(order.tick), settled)
                });
            }
            Effect::CheckAgent(check) => {
                self.under_way.spawn(async move {
                    let settled = ticking::check_agent(&deciders, &check).await;
                    Completed::Schedule(check.key, None, settled)
                });
            }
            Effect::LoadSchedule(key) => {
                self.under_way.spawn(async move {
                    let settled = ticking::load(&deciders, &key).await;
                    Completed::Schedule(key, None, settled)
                });
            }
            // Among the effects a leader starts with; `perform` takes later ones out.
            Effect::CallTool(request) => self.call_tool(request),
            Effect::Answer(..) => {}
        }
    }

    fn call_tool(&mut self, request: Box<ToolRequest>) {
        let tools = self.dependencies.tools.clone();
        self.calling.spawn(async move {
            let answer = tools.call(&request).await;
            Completed::ToolCall(request, answer)
        });
    }
}

async fn until(due: DateTime<Utc>) {
    let wait = (due - now()).to_std().unwrap_or(Duration::ZERO);
    tokio::time::sleep(wait.min(Duration::from_hours(1))).await;
}

/// Writes the answers, beside the loop: a slow connection must not stop the timers.
async fn reply(nats: async_nats::Client, mut outgoing: mpsc::UnboundedReceiver<(Subject, Answer)>) {
    while let Some((caller, answer)) = outgoing.recv().await {
        let Ok(payload) = serde_json::to_vec(&answer) else { continue };
        if let Err(error) = nats.publish(caller, payload.into()).await {
            // The caller asks again; attempts it was to be given go back when their lease ends.
            tracing::warn!(error = explain(&error), "an answer was not sent");
        }
    }
}
