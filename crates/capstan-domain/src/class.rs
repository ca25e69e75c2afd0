//! An execution class: the runs that share a concurrency limit, and its health ([`class_key`]).
//!
//! A class needs no creation: until it is configured, it has the defaults. Its health is judged by how attempts
//! end; the engine counts, this decides.
//!
//! Invariants: 1. degraded or probing, it records the end of the pause, or that one trial is leased; 2. every further
//! failure of a probe doubles the pause, up to [`COOL_DOWN_MS_MAX`]; 3. a reset forgets all failures.
//!
//! ```text
//! healthy ──too many failures──► degraded ──cool-down──► half open ──success──► healthy
//!    ▲                              ▲  └─────── failure ─────┘
//!    └────────── reset ─────────────┘
//! ```
//!
//! [`class_key`]: crate::class_key

use capstan_decider::Decider;
use chrono::{DateTime, Duration, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::change::only_changes_are_null;
use crate::implied::At;
use crate::{Fault, Faults, Requested, class_key};

/// Default failure threshold of a class.
pub const FAILURE_THRESHOLD_DEFAULT: u32 = 5;
/// The first pause after too many failures, in milliseconds.
pub const COOL_DOWN_MS: i64 = 30_000;
/// The longest pause, in milliseconds.
pub const COOL_DOWN_MS_MAX: i64 = 600_000;
/// Most attempts of one class that may run at once.
const CONCURRENCY_MAX: u32 = 100_000;
/// Largest failure threshold of a class.
const FAILURE_THRESHOLD_MAX: u32 = 1_000_000;

/// A request to a class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Sets its limits.
    Configure(ConfigureClass),
    /// Pauses it: too many attempts failed in a row, or its trial did.
    Degrade {
        /// Failures in a row.
        failures: u32,
    },
    /// Ends the pause: one attempt is leased as a trial. A timer of another pause changes nothing.
    Probe {
        /// The instant the timer was set for.
        until: DateTime<Utc>,
    },
    /// Ends the trial: its attempt succeeded.
    Recover,
}

/// Sets the limits of an execution class. What is absent stays as it is.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(transform = only_changes_are_null)]
pub struct ConfigureClass {
    /// Key of the class, as tasks show it: `execclass_` and 32 hexadecimal digits.
    #[schemars(with = "class_key::ClassKey")]
    pub instance_key: String,
    /// Attempts of the class that may run at once; 0 = the server's default.
    #[schemars(range(max = CONCURRENCY_MAX))]
    pub desired_dispatch_concurrency: Option<u32>,
    /// Failures in a row after which nothing is given out for a while, at least 1; 5 by default.
    #[schemars(range(min = 1, max = FAILURE_THRESHOLD_MAX))]
    pub failed_attempt_threshold: Option<u32>,
    /// False pauses the class: no attempt is leased.
    pub active: Option<bool>,
    /// Forget all failures.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub reset: bool,
}

/// An event of a class. These names and fields are stored permanently.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Its limits were set.
    Configured(Configured),
    /// Nothing is given out for a while.
    Degraded(Degraded),
    /// One try is given out.
    Probing(Probing),
    /// It recovered.
    Recovered(Recovered),
    /// All failures were forgotten by hand.
    Reset(Reset),
}

stored! {
/// The limits of a class were set.
#[derive(Eq)]
pub struct Configured {
    /// Attempts that may run at once; absent means the server's default.
    pub desired_dispatch_concurrency: Option<u32>,
    /// Failures in a row after which nothing is given out for a while.
    pub failed_attempt_threshold: u32,
    /// False when nothing is leased at all.
    pub active: bool,
    /// Time of the event.
    pub at: At,
}
}

stored! {
/// Too many attempts failed in a row: nothing is given out for a while.
#[derive(Eq)]
pub struct Degraded {
    /// Failures in a row.
    pub failures: u32,
    /// The instant of the next trial.
    pub until: DateTime<Utc>,
    /// Time of the event.
    pub at: At,
}
}

stored! {
/// The pause is over: one try is given out.
#[derive(Eq)]
pub struct Probing {
    /// Time of the event.
    pub at: At,
}
}

stored! {
/// The trial succeeded.
#[derive(Eq)]
pub struct Recovered {
    /// Time of the event.
    pub at: At,
}
}

stored! {
/// All failures were forgotten by hand.
#[derive(Eq)]
pub struct Reset {
    /// Time of the event.
    pub at: At,
}
}

/// The reasons a class rejects a command.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// Fields are not valid.
    #[error("the class is not valid")]
    Invalid(Vec<Fault>),
}

/// The health of a class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum Health {
    /// Healthy: attempts are leased as usual.
    #[default]
    Healthy,
    /// Nothing is given out.
    Degraded {
        /// Failures in a row that led here.
        failures: u32,
        /// The instant of the next trial.
        until: DateTime<Utc>,
    },
    /// One try is given out at a time.
    HalfOpen,
}

/// A class; an unconfigured one has the defaults.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// Attempts that may run at once; none means the server's default.
    pub desired_dispatch_concurrency: Option<u32>,
    /// Failures in a row after which nothing is given out for a while.
    pub failed_attempt_threshold: u32,
    /// False when nothing is leased at all.
    pub active: bool,
    /// Its health.
    pub health: Health,
    /// Pauses since it was last healthy.
    pub pauses: u32,
    /// True once its limits were configured.
    pub is_configured: bool,
}

impl Default for State {
    fn default() -> Self {
        Self {
            desired_dispatch_concurrency: None,
            failed_attempt_threshold: FAILURE_THRESHOLD_DEFAULT,
            active: true,
            health: Health::Healthy,
            pauses: 0,
            is_configured: false,
        }
    }
}

/// Decides the commands of a class.
#[derive(Debug)]
pub struct Class;

impl Decider for Class {
    type Command = Requested<Command>;
    type Event = Event;
    type State = State;
    type Rejection = Rejection;

    fn decide(state: &State, requested: &Requested<Command>) -> Result<Vec<Event>, Rejection> {
        let at = requested.at;
        match &requested.command {
            Command::Configure(configure) => {
                configure.check().map_err(Rejection::Invalid)?;
                Ok(configured(state, configure, at))
            }
            Command::Degrade { failures } => Ok(match state.health {
                // A failure of an attempt that began before the pause is nothing new.
                Health::Degraded { .. } => Vec::new(),
                Health::Healthy | Health::HalfOpen => {
                    let until = at + cool_down(state.pauses);
                    vec![Event::Degraded(Degraded { failures: *failures, until, at })]
                }
            }),
            Command::Probe { until: meant } => Ok(match state.health {
                Health::Degraded { until, .. } if until == *meant && until <= at => {
                    vec![Event::Probing(Probing { at })]
                }
                Health::Degraded { .. } | Health::Healthy | Health::HalfOpen => Vec::new(),
            }),
            Command::Recover => Ok(match state.health {
                Health::HalfOpen => vec![Event::Recovered(Recovered { at })],
                Health::Degraded { .. } | Health::Healthy => Vec::new(),
            }),
        }
    }

    fn evolve(mut state: State, event: &Event) -> State {
        match event {
            Event::Configured(e) => {
                state.desired_dispatch_concurrency = e.desired_dispatch_concurrency;
                state.failed_attempt_threshold = e.failed_attempt_threshold;
                state.active = e.active;
                state.is_configured = true;
            }
            Event::Degraded(e) => {
                state.health = Health::Degraded { failures: e.failures, until: e.until };
                state.pauses = state.pauses.saturating_add(1);
            }
            Event::Probing(_) => state.health = Health::HalfOpen,
            Event::Recovered(_) | Event::Reset(_) => {
                state.health = Health::Healthy;
                state.pauses = 0;
            }
        }
        state
    }
}

impl ConfigureClass {
    /// Names every fault of the command.
    pub fn check(&self) -> Result<(), Vec<Fault>> {
        let mut faults = Faults::default();
        class_key::check("/instance_key", self.instance_key.trim(), &mut faults);
        faults.require(
            self.desired_dispatch_concurrency.is_none_or(|wanted| wanted <= CONCURRENCY_MAX),
            "/desired_dispatch_concurrency",
            format_args!("must be at most {CONCURRENCY_MAX}"),
        );
        faults.require(
            self.failed_attempt_threshold.is_none_or(|wanted| (1..=FAILURE_THRESHOLD_MAX).contains(&wanted)),
            "/failed_attempt_threshold",
            format_args!("must be 1 to {FAILURE_THRESHOLD_MAX}"),
        );
        faults.into_result()
    }
}

fn configured(state: &State, configure: &ConfigureClass, at: DateTime<Utc>) -> Vec<Event> {
    let wanted = configure.desired_dispatch_concurrency;
    let concurrency =
        wanted.map_or(state.desired_dispatch_concurrency, |wanted| (wanted > 0).then_some(wanted));
    let threshold = configure.failed_attempt_threshold.unwrap_or(state.failed_attempt_threshold);
    let active = configure.active.unwrap_or(state.active);
    let mut events = Vec::new();
    let is_other = concurrency != state.desired_dispatch_concurrency
        || threshold != state.failed_attempt_threshold
        || active != state.active;
    // Defaults configured for an unknown class are recorded too: the class then appears in the list.
    if is_other || (!state.is_configured && !configure.reset) {
        events.push(Event::Configured(Configured {
            desired_dispatch_concurrency: concurrency,
            failed_attempt_threshold: threshold,
            active,
            at,
        }));
    }
    if configure.reset && state.health != Health::Healthy {
        events.push(Event::Reset(Reset { at }));
    }
    events
}

/// The next pause, after `pauses` earlier ones.
fn cool_down(pauses: u32) -> Duration {
    Duration::milliseconds(COOL_DOWN_MS.saturating_mul(1 << pauses.min(10)).min(COOL_DOWN_MS_MAX))
}

#[cfg(test)]
mod tests {
    use capstan_decider::spec::{Given, given};

    use super::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + Duration::seconds(seconds)
    }

    fn degrade(seconds: i64) -> Requested<Command> {
        Requested::new(Command::Degrade { failures: 5 }, at(seconds))
    }

    fn probe(until: i64, seconds: i64) -> Requested<Command> {
        Requested::new(Command::Probe { until: at(until) }, at(seconds))
    }

    fn recover(seconds: i64) -> Requested<Command> {
        Requested::new(Command::Recover, at(seconds))
    }

    fn configure(change: impl FnOnce(&mut ConfigureClass)) -> Requested<Command> {
        let instance_key = format!("execclass_{}", "0a".repeat(16));
        let mut configure = ConfigureClass { instance_key, ..ConfigureClass::default() };
        change(&mut configure);
        Requested::new(Command::Configure(configure), at(9))
    }

    fn fresh() -> Given<Class> {
        given::<Class>([])
    }

    #[test]
    fn limits_are_set_and_the_same_again_changes_nothing() {
        let limits =
            || configure(|class| (class.desired_dispatch_concurrency, class.active) = (Some(3), Some(false)));
        fresh().when(limits()).then([Event::Configured(Configured {
            desired_dispatch_concurrency: Some(3),
            failed_attempt_threshold: 5,
            active: false,
            at: at(9),
        })]);
        fresh().and(limits()).when(limits()).then_nothing();
        let default = configure(|class| class.desired_dispatch_concurrency = Some(0));
        fresh().and(limits()).when(default).then_with(|_, state| {
            assert_eq!((state.desired_dispatch_concurrency, state.active), (None, false));
        });
    }

    #[test]
    fn all_faults_of_a_class_are_refused_together() {
        for threshold in [0, u32::MAX] {
            let absurd = configure(|class| {
                class.instance_key = "foo".into();
                class.desired_dispatch_concurrency = Some(u32::MAX);
                class.failed_attempt_threshold = Some(threshold);
            });
            fresh().when(absurd).then_rejected_with(|Rejection::Invalid(faults)| faults.len() == 3);
        }
    }

    #[test]
    fn too_many_failures_stop_the_class_for_a_while() {
        let stopped = Degraded { failures: 5, until: at(130), at: at(100) };
        fresh().when(degrade(100)).then([Event::Degraded(stopped)]);
        // What began before the pause may still fail.
        fresh().and(degrade(100)).when(degrade(101)).then_nothing();
    }

    #[test]
    fn one_try_is_given_out_when_the_pause_is_over() {
        let stopped = || fresh().and(degrade(100));
        stopped().when(probe(130, 130)).then([Event::Probing(Probing { at: at(130) })]);
        stopped().when(probe(130, 129)).then_nothing();
        stopped().when(probe(131, 200)).then_nothing();
        fresh().when(probe(130, 130)).then_nothing();
    }

    #[test]
    fn a_successful_try_heals_the_class_and_only_a_try_does() {
        let tried = || fresh().and(degrade(100)).and(probe(130, 130));
        tried().when(recover(140)).then([Event::Recovered(Recovered { at: at(140) })]);
        fresh().and(degrade(100)).when(recover(110)).then_nothing();
        fresh().when(recover(110)).then_nothing();
    }

    #[test]
    fn every_failed_try_doubles_the_pause_up_to_ten_minutes() {
        let mut history = fresh();
        let (mut now, mut pauses) = (0, Vec::new());
        for _ in 0..7 {
            history = history.and(degrade(now));
            let Health::Degraded { until, .. } = history.state().health else { panic!("degraded") };
            let pause = (until - at(now)).num_seconds();
            pauses.push(pause);
            now += pause;
            history = history.and(probe(now, now));
        }
        assert_eq!(pauses, [30, 60, 120, 240, 480, 600, 600]);
        history.and(recover(now)).when(degrade(now)).then_with(|_, state| {
            assert_eq!(state.health, Health::Degraded { failures: 5, until: at(now + 30) });
        });
    }

    #[test]
    fn a_reset_heals_at_once_and_leaves_the_limits_alone() {
        let reset = || configure(|class| class.reset = true);
        fresh().and(degrade(1)).when(reset()).then([Event::Reset(Reset { at: at(9) })]);
        fresh().and(degrade(1)).and(probe(31, 31)).when(reset()).then_with(|_, state| {
            assert_eq!((state.health, state.pauses), (Health::Healthy, 0));
        });
        fresh().when(reset()).then_nothing();
    }
}
