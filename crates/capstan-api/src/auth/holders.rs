//! The holders of valid tokens.
//!
//! A token is read from its own stream, which the dispatcher caches and the live tail keeps fresh: every process that
//! follows the log sees a revocation within moments. In case the tail of a process hangs, the cached token is confirmed
//! against the log every few seconds.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use capstan_domain::id::TokenId;
use capstan_domain::token::{Issued, State};
use chrono::Utc;

use super::bearer::Bearer;
use super::caller::Caller;
use crate::app::dispatchers::Tokens;
use crate::problem::{Code, Problem};
use crate::use_case::streams;

/// Interval between confirmations of a cached token against the log.
const CONFIRM_EVERY: Duration = Duration::from_secs(5);
/// Longest time an unconfirmed token is accepted while the log is unavailable.
const UNCONFIRMED_MAX: Duration = Duration::from_mins(1);
/// Interval between checks of the token of an open connection.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Finds the holders of tokens, and keeps when each token in use was last confirmed.
#[derive(Debug)]
pub(crate) struct Holders {
    tokens: Arc<Tokens>,
    /// One entry for each token in use; only tokens that exist have one.
    memories: Mutex<HashMap<TokenId, Memory>>,
}

#[derive(Clone, Copy, Debug)]
struct Memory {
    /// Time of the last confirmation by the log.
    confirmed: Instant,
    /// Time of the last read of the log; one caller reads for all.
    asked: Instant,
}

impl Holders {
    /// True when the caller must read the log.
    fn is_due(&self, token_id: TokenId) -> bool {
        let mut memories = self.memories.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(memory) = memories.get_mut(&token_id) else { return true };
        let is_due = memory.asked.elapsed() > CONFIRM_EVERY || memory.confirmed.elapsed() > UNCONFIRMED_MAX;
        if is_due {
            memory.asked = Instant::now();
        }
        is_due
    }

    fn confirm(&self, token_id: TokenId) {
        let now = Instant::now();
        let mut memories = self.memories.lock().unwrap_or_else(PoisonError::into_inner);
        memories.insert(token_id, Memory { confirmed: now, asked: now });
    }

    /// True when the last confirmation is recent enough to accept the token without the log.
    fn is_recent(&self, token_id: TokenId) -> bool {
        let memories = self.memories.lock().unwrap_or_else(PoisonError::into_inner);
        memories.get(&token_id).is_some_and(|memory| memory.confirmed.elapsed() <= UNCONFIRMED_MAX)
    }

    fn forget(&self, token_id: TokenId) {
        self.memories.lock().unwrap_or_else(PoisonError::into_inner).remove(&token_id);
    }
}

impl Holders {
    /// Finds holders among these tokens.
    pub(crate) fn new(tokens: Arc<Tokens>) -> Self {
        Self { tokens, memories: Mutex::default() }
    }

    /// The holder of this token, if it is valid.
    pub(crate) async fn find(&self, text: &str) -> Result<Arc<Issued>, Problem> {
        let refused = || Problem::new(Code::Unauthenticated, "the token is unknown, expired or revoked");
        let bearer = Bearer::parse(text).ok_or_else(refused)?;
        let stream = streams::token(&bearer.workspace, bearer.token_id).map_err(|_| refused())?;
        let token_id = bearer.token_id;
        let is_due = self.is_due(token_id);
        let read = if is_due { Some(self.tokens.refresh(&stream).await) } else { None };
        let is_confirmed = matches!(read, Some(Ok(_)));
        let loaded = match read {
            Some(Ok(loaded)) => loaded,
            Some(Err(failure)) if !self.is_recent(token_id) => return Err(failure.into()),
            Some(Err(_)) | None => self.tokens.load(&stream).await?,
        };
        let valid = loaded.state.good_at(Utc::now());
        let Some(issued) = valid.filter(|issued| bearer.has_hash(&issued.secret_hash)) else {
            if valid.is_none() {
                self.forget(token_id);
            }
            return Err(refused());
        };
        if is_confirmed {
            self.confirm(token_id);
        }
        Ok(Arc::new(issued.clone()))
    }

    /// Returns once the caller's token is no longer valid: long polls and streams end then.
    pub(crate) async fn until_refused(&self, caller: &Caller) {
        let Caller::Token(issued) = caller else { return std::future::pending().await };
        let Ok(workspace) = issued.workspace.parse() else { return };
        let Ok(stream) = streams::token(&workspace, issued.token_id) else { return };
        let is_valid = |state: &State| state.good_at(Utc::now()).is_some();
        let mut confirmed = Instant::now();
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let is_due = confirmed.elapsed() > CONFIRM_EVERY;
            // In a box: a stream spends its life between two looks, and must not hold the room of one.
            let look = async {
                if is_due { self.tokens.refresh(&stream).await } else { self.tokens.load(&stream).await }
            };
            match Box::pin(look).await {
                Ok(loaded) if is_valid(&loaded.state) => {
                    if is_due {
                        confirmed = Instant::now();
                    }
                }
                Ok(_) => return,
                Err(_) if confirmed.elapsed() > UNCONFIRMED_MAX => return,
                Err(_) => {}
            }
        }
    }
}
