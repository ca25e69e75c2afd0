//! Authentication and authorisation.
//!
//! A caller presents a bearer token: the admin token of the installation, which allows everything, or one issued for a
//! workspace. A development server also accepts requests from the same machine without a token. What the caller may do
//! follows from the operation alone: its scope, and the workspace its path names. Another workspace does not exist for a
//! token, so nothing can be learned from the difference.

pub(crate) mod access;
pub(crate) mod bearer;
pub(crate) mod caller;
pub(crate) mod holders;
pub(crate) mod loopback;
pub(crate) mod place;
pub(crate) mod rates;
