//! The executable: roles and tools as subcommands.
//!
//! This crate is wiring: it reads the command line and the environment, connects the parts, runs and stops them. Start
//! with [`composition`], the only module that knows all parts.

mod agent;
mod argument;
mod bench;
mod channel;
mod class;
mod composition;
mod config;
mod dead_letters;
mod dev;
mod doctor;
mod local_servers;
mod log;
mod memory;
mod metric;
mod observability;
mod output;
mod projection;
mod remote;
mod remote_command;
mod schedule;
mod serve;
mod settings;
mod shutdown;
mod task;
mod worker;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::remote_command::RemoteCommand;

/// Commits, rows and frames are many small, short-lived strings: with glibc's allocator, a third of the processor time of
/// `capstan bench accept` went into allocation.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Event-sourced control plane for AI-agent work.
///
/// Exit codes: 0 success, 1 failure, 2 wrong usage, 3 refused by the server, 4 the server cannot be reached, 5 the task
/// that was waited for did not succeed.
#[derive(Parser)]
#[command(name = "capstan", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run everything on this machine: servers, Capstan and a worker.
    Dev(dev::Dev),
    /// Run Capstan against a given NATS and Postgres.
    Serve(serve::Serve),
    /// Show the settings of serve.
    Config(config::ConfigCommand),
    /// Lease attempts and execute them.
    Worker(worker::WorkerCommand),
    /// Submit, read and control tasks.
    Task(RemoteCommand<task::Action>),
    /// Create, read, change and delete agents.
    Agent(RemoteCommand<agent::Action>),
    /// Create, read and control schedules.
    Schedule(RemoteCommand<schedule::Action>),
    /// Create, read and change workspaces.
    Workspace(RemoteCommand<workspace::Action>),
    /// Bind, list and release channels.
    Channel(RemoteCommand<channel::Action>),
    /// Limit and reset execution classes.
    Class(RemoteCommand<class::Action>),
    /// List and rebuild the read models.
    Projection(projection::ProjectionCommand),
    /// Read, verify and copy the event log.
    Log(log::LogCommand),
    /// List, retry and discard dead letters.
    Dlq(RemoteCommand<dead_letters::Action>),
    /// Check the servers, the settings and this machine.
    Doctor(doctor::Doctor),
    /// Measure this machine and Capstan on it.
    Bench(bench::BenchCommand),
}

fn main() -> ExitCode {
    // The allocator's arenas are sparse: in pages of 2 MB they took 40 MB more after a start with 200,000 open tasks, and no
    // less processor time. Refused by a kernel without them, which is as good.
    let _ = rustix::thread::disable_transparent_huge_pages(true);
    let cli = Cli::parse();
    observability::init();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return output::failure(&anyhow::Error::new(error).context("start the runtime")),
    };
    let result = runtime.block_on(async {
        match cli.command {
            Command::Dev(dev) => dev.run().await,
            Command::Serve(serve) => serve.run().await,
            Command::Config(config) => config.run(),
            Command::Worker(worker) => worker.run().await,
            Command::Task(task) => task.run().await,
            Command::Agent(agent) => agent.run().await,
            Command::Schedule(schedule) => schedule.run().await,
            Command::Workspace(workspace) => workspace.run().await,
            Command::Channel(channel) => channel.run().await,
            Command::Class(class) => class.run().await,
            Command::Projection(projection) => projection.run().await,
            Command::Log(log) => log.run().await,
            Command::Dlq(dead_letters) => dead_letters.run().await,
            Command::Doctor(doctor) => doctor.run().await,
            Command::Bench(bench) => bench.run().await,
        }
    });
    // Blocking calls that hang (a name look-up) must not keep a finished process alive.
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => output::failure(&error),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    /// Adds the commands and arguments below `command` whose help is empty.
    fn undescribed(command: &clap::Command, path: &str, found: &mut Vec<String>) {
        let path = format!("{path} {}", command.get_name());
        if command.get_about().is_none() {
            found.push(path.clone());
        }
        let silent = command.get_arguments().filter(|argument| argument.get_help().is_none());
        found.extend(silent.map(|argument| format!("{path} {argument}")));
        for below in command.get_subcommands() {
            undescribed(below, &path, found);
        }
    }

    #[test]
    fn every_command_and_every_argument_is_described() {
        let mut found = Vec::new();
        undescribed(&Cli::command(), "", &mut found);
        assert_eq!(found, Vec::<String>::new());
    }
}
