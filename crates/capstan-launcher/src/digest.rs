//! Checksums of fetched files.

use std::path::Path;
use std::{fs, io};

use data_encoding::HEXLOWER;
use sha2::{Digest as _, Sha256, Sha512};

/// A pinned checksum in hexadecimal, of the kind the registry publishes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Digest {
    Sha256(&'static str),
    Sha512(&'static str),
}

impl Digest {
    /// The expected digits.
    pub(crate) fn expected(self) -> &'static str {
        match self {
            Self::Sha256(digits) | Self::Sha512(digits) => digits,
        }
    }

    /// The digits `file` really has.
    pub(crate) fn of(self, file: &Path) -> io::Result<String> {
        let bytes = fs::read(file)?;
        Ok(match self {
            Self::Sha256(_) => HEXLOWER.encode(&Sha256::digest(&bytes)),
            Self::Sha512(_) => HEXLOWER.encode(&Sha512::digest(&bytes)),
        })
    }
}
