//! The address of a channel, in one spelling.

use crate::id::ChannelId;
use crate::{Fault, Faults};

/// Longest name of a kind of channel, in bytes.
const TYPE_BYTES_MAX: usize = 64;
/// Longest address, in bytes.
const ADDRESS_BYTES_MAX: usize = 512;
/// The kind of channel whose addresses mean the same in any case.
const EMAIL: &str = "email";

/// The type and address of a channel, in one spelling for all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    channel_type: String,
    address: String,
}

impl Address {
    /// Trims both, lowers the case of the type and of mail addresses, and checks them.
    pub fn new(channel_type: &str, address: &str) -> Result<Self, Vec<Fault>> {
        let mut faults = Faults::default();
        let channel_type = channel_type.trim().to_lowercase();
        let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-".contains(&byte);
        faults.require(
            !channel_type.is_empty()
                && channel_type.len() <= TYPE_BYTES_MAX
                && channel_type.bytes().all(fits),
            "/channel_type",
            format_args!("must be 1 to {TYPE_BYTES_MAX} of letters, digits, '_' and '-'"),
        );
        let address = address.trim();
        faults.require(
            !address.is_empty()
                && address.len() <= ADDRESS_BYTES_MAX
                && !address.chars().any(char::is_control),
            "/address",
            format_args!("must be 1 to {ADDRESS_BYTES_MAX} bytes without control characters"),
        );
        faults.into_result()?;
        let address = if channel_type == EMAIL { address.to_lowercase() } else { address.to_owned() };
        Ok(Self { channel_type, address })
    }

    /// The type of channel.
    pub fn channel_type(&self) -> &str {
        &self.channel_type
    }

    /// The address.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The channel's id: the same for all workspaces.
    pub fn channel_id(&self) -> ChannelId {
        ChannelId::from_address(&self.channel_type, &self.address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_one_address_are_one_channel() {
        let one = Address::new("email", "ada@example.org").unwrap();
        assert_eq!(Address::new(" Email ", " Ada@Example.org ").unwrap(), one);
        let chat = Address::new("slack", "C01").unwrap();
        assert_ne!(Address::new("slack", "c01").unwrap().channel_id(), chat.channel_id());
        assert_ne!(Address::new("email", "c01").unwrap().channel_id(), chat.channel_id());
    }

    #[test]
    fn both_parts_are_checked_together() {
        for (channel_type, address, count) in [
            ("", "", 2),
            ("a b", "x", 1),
            ("email", "a\nb", 1),
            ("email", " ", 1),
            ("email", &"x".repeat(513), 1),
        ] {
            assert_eq!(
                Address::new(channel_type, address).unwrap_err().len(),
                count,
                "{channel_type:?} {address:?}"
            );
        }
    }
}
