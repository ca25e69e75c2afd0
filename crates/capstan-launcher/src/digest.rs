//! Checksums of fetched files.

use std::fmt::Write as _;
use std::path::Path;
use std::{fs, io};

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
            Self::Sha256(_) => hexadecimal(&Sha256::digest(&bytes)),
            Self::Sha512(_) => hexadecimal(&Sha512::digest(&bytes)),
        })
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut digits, byte| {
        let _ = write!(digits, "{byte:02x}");
        digits
    })
}
