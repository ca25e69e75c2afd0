//! The index of what tasks say: texts and labels, by grams of three characters.
//!
//! It trails the rows, so that no transaction of the projector waits for it. Tasks are indexed in blocks of up to [`BLOCK`], in
//! the order of their positions. Of a block, the grams that occur in it are sorted, each with the places of the tasks that have it, and
//! packed into rows of almost 2 kB. A read intersects the places of the grams it seeks, newest block first, and looks at the texts of
//! those tasks; and at the texts of all tasks that no block has yet. So an answer is complete and exact, however far the index is.
//!
//! `gram.rs` are the grams of a text, `pages.rs` the form of a block, `texts.rs` the texts of a task; `trail.rs` adds blocks, and
//! `check.rs` compares them with the rows.

mod check;
pub(crate) mod gram;
pub(crate) mod pages;
pub(crate) mod texts;
pub(crate) mod trail;

pub(crate) use check::differing;

/// Most tasks of a block: a set of their places has 512 bytes.
pub(crate) const BLOCK: usize = 4_096;

/// Ids in a row of `search_ids`.
pub(crate) const IDS: usize = 64;

/// The tables of the index, in the schema of the tasks.
pub(crate) const TABLES: &[&str] = &["search_blocks", "search_ids", "search_pages"];
