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

#![expect(clippy::needless_pass_by_value, reason = "a specification is read as a sentence, without `&`")]

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
    /// Extends the history by these events.
    pub fn and_events(mut self, events: impl IntoIterator<Item = D::Event>) -> Self {
        self.history.extend(events);
        self
    }

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

#[cfg(test)]
mod tests {
    use super::*;

    /// Counts up to a limit of three.
    #[derive(Debug)]
    struct Counter;

    impl Decider for Counter {
        type Command = u32;
        type Event = u32;
        type State = u32;
        type Rejection = &'static str;

        fn decide(state: &u32, add: &u32) -> Result<Vec<u32>, &'static str> {
            match (*add, state + add) {
                (0, _) => Ok(Vec::new()),
                (_, 0..=3) => Ok(vec![*add]),
                _ => Err("full"),
            }
        }

        fn evolve(state: u32, event: &u32) -> u32 {
            state + event
        }
    }

    #[test]
    fn a_specification_holds_when_the_answer_is_as_expected() {
        given::<Counter>([1]).when(2).then([2]);
        given::<Counter>([1]).and(1).when(0).then_nothing();
        given::<Counter>([3]).when(1).then_rejected("full");
        given::<Counter>([3]).when(1).then_rejected_with(|no| no.starts_with('f'));
        given::<Counter>([1]).when(1).then_with(|events, state| assert_eq!((events, *state), (&[1][..], 2)));
        assert_eq!(given::<Counter>([1]).and(2).state(), 3);
        assert_eq!(given::<Counter>([1]).and(2).events(), [1, 2]);
        assert_eq!(given::<Counter>([]).when(2).events(), [2]);
        assert_eq!(fold::<Counter>(1, &[1, 1]), 3);
    }

    #[test]
    #[should_panic(expected = "decided events differ")]
    fn other_events_than_expected_fail_the_specification() {
        given::<Counter>([]).when(1).then([2]);
    }

    #[test]
    #[should_panic(expected = "decided events differ")]
    fn a_refusal_is_not_nothing() {
        given::<Counter>([3]).when(1).then_nothing();
    }

    #[test]
    #[should_panic(expected = "answer was")]
    fn an_acceptance_is_not_a_refusal() {
        given::<Counter>([]).when(1).then_rejected("full");
    }

    #[test]
    #[should_panic(expected = "could not be built")]
    fn a_history_that_is_refused_cannot_be_given() {
        let _ = given::<Counter>([3]).and(1);
    }
}
