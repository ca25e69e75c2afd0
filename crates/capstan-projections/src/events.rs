//! The events a read model reads: all of one category, or a list of task events.

use capstan_contract::DomainEvent;
use capstan_domain::{agent, channel, class, schedule, token, workspace};

/// The events a model reads, borrowed from the commit.
pub(crate) trait Events<'a>: Copy {
    /// Narrows an event of the log; `None` when the model does not read it.
    fn select(event: &'a DomainEvent) -> Option<Self>;
}

/// Every event.
impl<'a> Events<'a> for &'a DomainEvent {
    fn select(event: &'a DomainEvent) -> Option<Self> {
        Some(event)
    }
}

/// Every event of a category: `Variant(Event)` as in [`DomainEvent`].
macro_rules! categories {
    ($($variant:ident($event:ty),)*) => {$(
        impl<'a> Events<'a> for &'a $event {
            fn select(event: &'a DomainEvent) -> Option<Self> {
                if let DomainEvent::$variant(event) = event { Some(event) } else { None }
            }
        }
    )*};
}

categories! {
    Workspace(workspace::Event),
    Agent(agent::Event),
    Schedule(schedule::Event),
    Channel(channel::Event),
    Class(class::Event),
    Token(token::Event),
    Task(capstan_domain::task::Event),
}

/// Declares the task events a model reads, and those it does not. Every event of a task must be in one of the
/// two lists, so a new one does not compile until each model has decided.
macro_rules! task_events {
    ($(#[$meta:meta])* $name:ident reads { $($read:ident,)* } ignores { $($ignored:ident,)* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug)]
        pub(crate) enum $name<'a> {
            $($read(&'a capstan_domain::task::event::$read),)*
        }

        impl<'a> $crate::events::Events<'a> for $name<'a> {
            fn select(event: &'a capstan_contract::DomainEvent) -> Option<Self> {
                let capstan_contract::DomainEvent::Task(event) = event else { return None };
                match event {
                    $(capstan_domain::task::Event::$read(event) => Some(Self::$read(event)),)*
                    $(capstan_domain::task::Event::$ignored(_))|* => None,
                }
            }
        }
    };
}

pub(crate) use task_events;
