//! Given events, when a command, then events, a rejection, or nothing.
//!
//! ```
//! # use capstan_decider::{Decider, spec::given};
//! # struct Light;
//! # impl Decider for Light {
//! #     type Command = bool; type Event = bool; type State = bool; type Rejection = ();
//! #     fn decide(on: &bool, want: &bool) -> Result<Vec<bool>, ()> { Ok(if on == want { vec![] } else { vec![*want] }) }
//! #     fn evolve(_: bool, e: &bool) -> bool { *e }
//! # }
//! given::<Light>([]).when(true).then([true]);
//! given::<Light>([true]).when(true).then_nothing();
//! ```

use std::fmt::Debug;

use crate::{Decider, fold};

/// A history, waiting for a command.
#[must_use = "a history alone proves nothing: call `when`"]
#[derive(Debug)]
pub struct Given<D: Decider> {
    history: Vec<D::Event>,
}

/// The answer to a command, waiting for an expectation.
#[must_use = "an answer alone proves nothing: call one of the `then…` methods"]
#[derive(Debug)]
pub struct When<D: Decider> {
    state: D::State,
    answer: Result<Vec<D::Event>, D::Rejection>,
}

/// Starts a specification from a history.
pub fn given<D: Decider>(history: impl IntoIterator<Item = D::Event>) -> Given<D> {
    Given { history: history.into_iter().collect() }
}

impl<D: Decider> Given<D>
where
    D::Event: Clone,
    D::Rejection: Debug,
{
    /// Extends the history by whatever `command` decides; panics when it is refused.
    #[track_caller]
    pub fn and(mut self, command: D::Command) -> Self {
        let state = fold::<D>(D::State::default(), &self.history);
        match D::decide(&state, &command) {
            Ok(events) => self.history.extend(events),
            Err(rejection) => panic!("the history could not be built, refused with {rejection:?}"),
        }
        self
    }
}

impl<D: Decider> Given<D> {
    /// Decides `command` in the state the history folds to.
    pub fn when(self, command: D::Command) -> When<D> {
        let state = fold::<D>(D::State::default(), &self.history);
        let answer = D::decide(&state, &command);
        When { state, answer }
    }

    /// The state the history folds to.
    pub fn state(&self) -> D::State {
        fold::<D>(D::State::default(), &self.history)
    }

    /// The history so far.
    pub fn events(&self) -> &[D::Event] {
        &self.history
    }
}

impl<D: Decider> When<D>
where
    D::Event: Debug + PartialEq,
    D::Rejection: Debug + PartialEq,
{
    /// Expects exactly these events.
    #[track_caller]
    pub fn then(self, expected: impl IntoIterator<Item = D::Event>) {
        let expected: Vec<_> = expected.into_iter().collect();
        assert_eq!(self.answer.as_ref().map(Vec::as_slice), Ok(expected.as_slice()), "decided events differ");
    }

    /// Expects this refusal.
    #[track_caller]
    pub fn then_rejected(self, expected: D::Rejection) {
        assert_eq!(self.answer.as_ref().err(), Some(&expected), "answer was {:?}", self.answer);
    }

    /// Expects a refusal that satisfies `check`.
    #[track_caller]
    pub fn then_rejected_with(self, check: impl FnOnce(&D::Rejection) -> bool) {
        match &self.answer {
            Err(rejection) => assert!(check(rejection), "refused with another reason: {rejection:?}"),
            Ok(events) => panic!("expected a refusal, got {events:?}"),
        }
    }

    /// Expects that the command changes nothing.
    #[track_caller]
    pub fn then_nothing(self) {
        self.then([]);
    }

    /// Expects events that satisfy `check`, which also sees the state they lead to.
    #[track_caller]
    pub fn then_with(self, check: impl FnOnce(&[D::Event], &D::State)) {
        match self.answer {
            Ok(events) => {
                let state = fold::<D>(self.state, &events);
                check(&events, &state);
            }
            Err(rejection) => panic!("expected events, refused with {rejection:?}"),
        }
    }

    /// The decided events; panics when the command was refused.
    #[track_caller]
    pub fn events(self) -> Vec<D::Event> {
        match self.answer {
            Ok(events) => events,
            Err(rejection) => panic!("expected events, refused with {rejection:?}"),
        }
    }
}
