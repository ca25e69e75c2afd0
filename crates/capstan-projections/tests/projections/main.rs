//! The read models against a real Postgres.
#![expect(unreachable_pub, clippy::unwrap_used, reason = "modules of one test program, which may panic")]

mod golden;
mod operations;
mod oracle;
mod output_rows;
mod pages;
mod place;
mod replay;
mod story;
