//! Which tokens are good now.
//!
//! A token is known from its own stream, which the dispatcher keeps in memory and the live tail keeps fresh: a
//! revocation is seen within moments by every process that follows the log. Should the tail of a process hang, the
//! memory of a token is confirmed against the log every few seconds.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use capstan_domain::id::TokenId;
use capstan_domain::token::{Issued, State};
use chrono::Utc;

use super::Caller;
use super::bearer::Bearer;
use crate::App;
use crate::problem::{Code, Problem};
use crate::use_case::resolve;

/// After this long the memory of a token is confirmed against the log.
const CONFIRM_EVERY: Duration = Duration::from_secs(5);
/// How long a token goes on being taken while the log cannot be asked.
const UNCONFIRMED_MAX: Duration = Duration::from_mins(1);
/// How often those who stay connected are looked at again.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// How fresh the memory of the tokens in use is. Holds tokens that exist only, so it stays small.
#[derive(Debug, Default)]
pub(crate) struct Holders(Mutex<HashMap<TokenId, Memory>>);

#[derive(Clone, Copy, Debug)]
struct Memory {
    /// When the log last agreed.
    confirmed: Instant,
    /// When it was last asked; whoever asks does so for all.
    asked: Instant,
}

impl Holders {
    /// True when the caller is to ask the log.
    fn is_due(&self, token_id: TokenId) -> bool {
        let mut memories = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(memory) = memories.get_mut(&token_id) else { return true };
        let is_due = memory.asked.elapsed() > CONFIRM_EVERY || memory.confirmed.elapsed() > UNCONFIRMED_MAX;
        if is_due {
            memory.asked = Instant::now();
        }
        is_due
    }

    fn confirm(&self, token_id: TokenId) {
        let now = Instant::now();
        let mut memories = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        memories.insert(token_id, Memory { confirmed: now, asked: now });
    }

    /// True when the log has agreed lately enough to go on without it.
    fn is_recent(&self, token_id: TokenId) -> bool {
        let memories = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        memories.get(&token_id).is_some_and(|memory| memory.confirmed.elapsed() <= UNCONFIRMED_MAX)
    }

    fn forget(&self, token_id: TokenId) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&token_id);
    }
}

impl App {
    /// The holder of this token, if it is good.
    pub(super) async fn holder(&self, text: &str) -> Result<Arc<Issued>, Problem> {
        let refused = || Problem::new(Code::Unauthenticated, "the token is unknown, expired or revoked");
        let bearer = Bearer::read(text).ok_or_else(refused)?;
        let stream = resolve::stream(&bearer.workspace, "token", &bearer.token_id.to_string());
        let stream = stream.map_err(|_| refused())?;
        let token_id = bearer.token_id;
        let is_due = self.holders.is_due(token_id);
        let looked = if is_due { Some(self.dispatch.tokens.refresh(&stream).await) } else { None };
        let is_confirmed = matches!(looked, Some(Ok(_)));
        let loaded = match looked {
            Some(Ok(loaded)) => loaded,
            Some(Err(failure)) if !self.holders.is_recent(token_id) => return Err(failure.into()),
            Some(Err(_)) | None => self.dispatch.tokens.load(&stream).await?,
        };
        let good = loaded.state.good_at(Utc::now());
        let Some(issued) = good.filter(|issued| bearer.has_hash(&issued.secret_hash)) else {
            if good.is_none() {
                self.holders.forget(token_id);
            }
            return Err(refused());
        };
        if is_confirmed {
            self.holders.confirm(token_id);
        }
        Ok(Arc::new(issued.clone()))
    }

    /// Ends when the caller would no longer be let in: what stays open for long is closed then.
    pub(crate) async fn until_refused(&self, caller: &Caller) {
        let Caller::Token(issued) = caller else { return std::future::pending().await };
        let Ok(workspace) = issued.workspace.parse() else { return };
        let Ok(stream) = resolve::stream(&workspace, "token", &issued.token_id.to_string()) else { return };
        let is_good = |state: &State| state.good_at(Utc::now()).is_some();
        let mut confirmed = Instant::now();
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let is_due = confirmed.elapsed() > CONFIRM_EVERY;
            let looked = if is_due {
                self.dispatch.tokens.refresh(&stream).await
            } else {
                self.dispatch.tokens.load(&stream).await
            };
            match looked {
                Ok(loaded) if is_good(&loaded.state) => {
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
