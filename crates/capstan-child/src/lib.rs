//! Child processes whose life is bound to the life of their parent.
//!
//! **What it is.** [`ChildCommand`] starts a program in its own process group and asks the kernel to signal it when
//! this process dies, however it dies: `kill -9` of the parent leaves no orphan. [`Child`] signals the whole
//! group, ends it politely with a deadline, and collects its exit. Before the program runs, it can be given another
//! user ([`Identity`]), because some programs refuse to run as root.
//!
//! **What it refuses to be.** It restarts nothing, knows no program by name and reads no configuration: supervision
//! belongs to those who know what the program is for. The kernel's promise covers the process started here, not the
//! grandchildren it makes: whoever starts a program that forks picks a death signal which that program passes on, or has
//! its whole group kept ([`ChildCommand::group_dies_with_parent`]). A process that leaves its group is out of reach. On
//! systems other than Linux there is no promise of the kernel at all, only the process group and its keeper.
//!
//! **Where to start.** `command.rs` says what is asked for, `spawner.rs` why one thread does all the forking, `keeper.rs` who
//! kills the groups of a process that was killed, and `child.rs` what can be done with the result.

mod child;
mod command;
mod identity;
mod keeper;
mod spawner;

pub use child::Child;
pub use command::{ChildCommand, Output};
pub use identity::Identity;
pub use rustix::process::Signal;
