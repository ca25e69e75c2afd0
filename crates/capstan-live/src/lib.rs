//! One tail of the log per process, fanned out to any number of subscribers.
//!
//! **What it is.** [`LiveHub`] follows the log once and keeps its latest commits in memory. A subscriber names what it
//! wants ([`Subscription`]) and the [`Cursor`] it has come to, and gets a stream of [`Frame`]s in [`Run`]s: first what it missed,
//! from memory or from the log, then what happens, without loss or repetition at the seam. A frame and its bytes are made once
//! for all who get the same. The output of running agents is followed beside them, one tail per workspace
//! ([`LiveHub::follow_with_lines`]).
//!
//! **What it refuses to be.** It reads no event's meaning beyond its name, so an event that is newer than this build
//! passes through. It waits for nobody: a subscriber that cannot keep up is told where to resume, and dropped.
//!
//! **Where to start.** `hub.rs` is the shared tail, `subscription.rs` the life of one subscriber, `recent.rs` what is
//! kept in memory, `feed.rs` what those get who follow the same, `logs.rs` and `merged.rs` the output of agents, `frame.rs`,
//! `page.rs` and `form.rs` what goes over the wire.

mod feed;
mod form;
mod frame;
mod hub;
mod line;
mod logs;
mod merged;
mod metric;
mod page;
mod recent;
mod subscription;
mod terminal;

pub use capstan_contract::stream::{Cursor, Place};
pub use frame::{CAUGHT_UP, Control, END, EventData, Frame, GAP, GapReason, LOG};
pub use hub::{LiveConfig, LiveHub};
pub use line::shown_line;
pub use merged::Lines;
pub use metric::ALL as METRICS;
pub use page::Run;
pub use subscription::Subscription;
pub use terminal::Until;
