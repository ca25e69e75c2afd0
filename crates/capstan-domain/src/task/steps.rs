//! Steps that several rules share. A step returns events or adds them to those decided so far; it calls no rule.

pub(super) mod approval;
pub(super) mod approval_text;
pub(super) mod batch;
pub(super) mod blocker;
pub(super) mod budget;
pub(super) mod input;
pub(super) mod outputs;
pub(super) mod run;
pub(super) mod tool_call;
pub(super) mod watches;
