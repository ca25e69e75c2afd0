//! The shape of a rule.
//!
//! A [`Decider`] says what a command does to one stream: `decide` turns a state and a command into events
//! or a rejection, `evolve` turns a state and an event into the next state. Both are pure. The given/when/then
//! [`spec`] lives here too, so that rules can be tested beside the code without a dependency cycle.
//!
//! This crate does no IO, knows no event by name and stays small: no combinators, no boxed closures.
//! Start with [`Decider`].

pub mod spec;

/// Decides commands of one category of streams.
pub trait Decider {
    /// A request in the imperative; carries the time and every fresh id it needs.
    type Command;
    /// A fact in the past tense; cannot be refused.
    type Event;
    /// The past as decisions need it; `default()` is the empty stream.
    type State: Default + Clone;
    /// The reasons this decider says no.
    type Rejection;

    /// Decides `command` in `state`. No events means: already so, nothing to record.
    fn decide(state: &Self::State, command: &Self::Command) -> Result<Vec<Self::Event>, Self::Rejection>;

    /// Applies one recorded fact. Total: never fails, never judges, never panics.
    #[must_use]
    fn evolve(state: Self::State, event: &Self::Event) -> Self::State;
}

/// Folds a history into a state.
pub fn fold<'a, D: Decider>(state: D::State, events: impl IntoIterator<Item = &'a D::Event>) -> D::State
where
    D::Event: 'a,
{
    events.into_iter().fold(state, D::evolve)
}
