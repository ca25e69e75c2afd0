//! A token: what a caller shows to be let in.
//!
//! Invariants: 1. the secret is never here, only its hash; 2. a revocation is final; 3. its scopes and
//! its end never change: another right is another token.
//!
//! ```text
//! (none) ──issue──► valid ──revoke──► revoked
//!                     └── (its end passes) ──► expired, which is no event
//! ```

use std::collections::BTreeSet;

use capstan_decider::Decider;
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::id::TokenId;
use crate::implied::{At, Own, OwnWorkspace};
use crate::limits::{self, REASON_BYTES_MAX};
use crate::{Fault, Faults, Requested};

/// The longest name a token may have, in bytes.
pub const NAME_BYTES_MAX: usize = 128;

/// A scope of a token in its workspace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// To look.
    Read,
    /// To give commands.
    Command,
    /// To lease attempts and report on them.
    Worker,
    /// Everything in the workspace, tokens included.
    Admin,
}

/// A request to a token.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Issues the token.
    Issue(IssueToken, NewToken),
    /// Ends it before its time.
    Revoke(RevokeToken),
}

/// Issues a token of the workspace. The secret is in the answer, this once.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct IssueToken {
    /// Name of the holder, shown to people and recorded in the log.
    pub name: String,
    /// Scopes of the token; `admin` implies the others.
    pub scopes: Vec<Scope>,
    /// Time from which the token is refused; absent for a token without expiry.
    pub expires_at: Option<DateTime<Utc>>,
}

/// The parts of a new token that no caller chooses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewToken {
    /// The token.
    pub token_id: TokenId,
    /// The workspace it is valid in.
    pub workspace: String,
    /// SHA-256 of the whole token, in hex.
    pub secret_hash: String,
    /// The last characters of the token, to tell tokens apart.
    pub last_four: String,
}

/// Revokes a token before it expires.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RevokeToken {
    /// Id of the token.
    pub token_id: TokenId,
    /// Reason; free text.
    pub reason: Option<String>,
}

/// An event of a token. These names and fields are stored permanently.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// The token was issued.
    Issued(Issued),
    /// The token was revoked.
    Revoked(Revoked),
}

stored! {
/// The token was issued.
#[derive(Eq)]
pub struct Issued {
    /// The token.
    pub token_id: Own<TokenId>,
    /// The workspace it is valid in.
    pub workspace: OwnWorkspace,
    /// Its workspace.
    pub name: String,
    /// Its scopes, sorted, each once.
    pub scopes: Vec<Scope>,
    /// SHA-256 of the whole token, in hex. The secret in it is 256 random bits, so there is nothing to guess and a
    /// slow, salted hash would add nothing.
    pub secret_hash: String,
    /// The last characters of the token, to tell tokens apart.
    pub last_four: String,
    /// Time from which the token is refused; absent for a token without expiry.
    pub expires_at: Option<DateTime<Utc>>,
    /// Time of the event.
    pub issued_at: At,
}
}

stored! {
/// The token was revoked.
#[derive(Eq)]
pub struct Revoked {
    /// The token.
    pub token_id: Own<TokenId>,
    /// The reason, for people.
    pub reason: Option<String>,
    /// Time of the event.
    pub revoked_at: At,
}
}

/// The reasons a token rejects a command.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// Fields are not valid.
    #[error("the token is not valid")]
    Invalid(Vec<Fault>),
    /// A token of this id exists.
    #[error("token {0} already exists")]
    Exists(TokenId),
    /// There is no such token.
    #[error("no such token")]
    NotFound,
}

/// The state decisions and authentication need.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// Present from issue on.
    pub issued: Option<Issued>,
    /// Present from revocation on.
    pub revoked_at: Option<DateTime<Utc>>,
}

impl State {
    /// The token as issued, if it is valid at this instant: not revoked, not expired.
    pub fn good_at(&self, now: DateTime<Utc>) -> Option<&Issued> {
        let is_over = |issued: &&Issued| issued.expires_at.is_some_and(|end| end <= now);
        self.issued.as_ref().filter(|issued| self.revoked_at.is_none() && !is_over(issued))
    }
}

impl Issued {
    /// True when the token allows it.
    pub fn allows(&self, scope: Scope) -> bool {
        self.scopes.contains(&scope) || self.scopes.contains(&Scope::Admin)
    }
}

/// Decides the commands of a token.
#[derive(Debug)]
pub struct Token;

impl Decider for Token {
    type Command = Requested<Command>;
    type Event = Event;
    type State = State;
    type Rejection = Rejection;

    fn decide(
        state: &State,
        Requested { command, at }: &Requested<Command>,
    ) -> Result<Vec<Event>, Rejection> {
        match (command, &state.issued) {
            (Command::Issue(_, new), Some(_)) => Err(Rejection::Exists(new.token_id)),
            (Command::Issue(issue, new), None) => {
                issued(issue, new, *at).map(|event| vec![Event::Issued(event)]).map_err(Rejection::Invalid)
            }
            (Command::Revoke(_), None) => Err(Rejection::NotFound),
            // What is revoked stays so; saying it again changes nothing.
            (Command::Revoke(_), Some(_)) if state.revoked_at.is_some() => Ok(Vec::new()),
            (Command::Revoke(revoke), Some(issued)) => {
                let mut faults = Faults::default();
                limits::check("/reason", revoke.reason.as_deref(), REASON_BYTES_MAX, &mut faults);
                faults.into_result().map_err(Rejection::Invalid)?;
                Ok(vec![Event::Revoked(Revoked {
                    token_id: issued.token_id,
                    reason: revoke.reason.clone().filter(|reason| !reason.trim().is_empty()),
                    revoked_at: *at,
                })])
            }
        }
    }

    fn evolve(state: State, event: &Event) -> State {
        match event {
            Event::Issued(issued) => State { issued: Some(issued.clone()), ..state },
            Event::Revoked(revoked) => State { revoked_at: Some(revoked.revoked_at), ..state },
        }
    }
}

fn issued(issue: &IssueToken, new: &NewToken, at: DateTime<Utc>) -> Result<Issued, Vec<Fault>> {
    let mut faults = Faults::default();
    let name = faults.required("/name", &issue.name);
    faults.require(
        name.len() <= NAME_BYTES_MAX && !name.chars().any(char::is_control),
        "/name",
        format_args!("must be at most {NAME_BYTES_MAX} bytes of plain text"),
    );
    faults.require(!issue.scopes.is_empty(), "/scopes", "at least one of read, command, worker, admin");
    faults.require(issue.expires_at.is_none_or(|end| end > at), "/expires_at", "must be in the future");
    faults.into_result()?;
    let scopes: BTreeSet<_> = issue.scopes.iter().copied().collect();
    Ok(Issued {
        token_id: new.token_id,
        workspace: new.workspace.clone(),
        name: name.to_owned(),
        scopes: scopes.into_iter().collect(),
        secret_hash: new.secret_hash.clone(),
        last_four: new.last_four.clone(),
        expires_at: issue.expires_at,
        issued_at: at,
    })
}

#[cfg(test)]
mod tests {
    use capstan_decider::fold;
    use capstan_decider::spec::given;
    use chrono::TimeDelta;
    use uuid::Uuid;

    use super::*;

    const START: DateTime<Utc> = DateTime::UNIX_EPOCH;

    fn token_id() -> TokenId {
        TokenId(Uuid::from_u128(1))
    }

    fn issue(change: impl FnOnce(&mut IssueToken)) -> Requested<Command> {
        let mut issue = IssueToken {
            name: " ci ".into(),
            scopes: vec![Scope::Command, Scope::Read, Scope::Command],
            expires_at: Some(START + TimeDelta::seconds(10)),
        };
        change(&mut issue);
        let new = NewToken {
            token_id: token_id(),
            workspace: "dev".into(),
            secret_hash: "00".into(),
            last_four: "beef".into(),
        };
        Requested::new(Command::Issue(issue, new), START)
    }

    fn was_issued() -> Event {
        Event::Issued(Issued {
            token_id: token_id(),
            workspace: "dev".into(),
            name: "ci".into(),
            scopes: vec![Scope::Read, Scope::Command],
            secret_hash: "00".into(),
            last_four: "beef".into(),
            expires_at: Some(START + TimeDelta::seconds(10)),
            issued_at: START,
        })
    }

    fn revoke() -> Requested<Command> {
        Requested::new(Command::Revoke(RevokeToken { token_id: token_id(), reason: Some(" ".into()) }), START)
    }

    fn was_revoked() -> Event {
        Event::Revoked(Revoked { token_id: token_id(), reason: None, revoked_at: START })
    }

    #[test]
    fn a_token_is_issued_once_with_each_scope_once() {
        given::<Token>([]).when(issue(|_| {})).then([was_issued()]);
        given::<Token>([was_issued()]).when(issue(|_| {})).then_rejected(Rejection::Exists(token_id()));
    }

    #[test]
    fn every_fault_of_a_token_is_named() {
        let bad = issue(|issue| {
            *issue = IssueToken { name: " ".into(), scopes: Vec::new(), expires_at: Some(START) };
        });
        let Err(Rejection::Invalid(faults)) = Token::decide(&State::default(), &bad) else {
            panic!("it is not valid");
        };
        let pointers: Vec<_> = faults.iter().map(|fault| fault.pointer.as_str()).collect();
        assert_eq!(pointers, ["/name", "/scopes", "/expires_at"]);
    }

    #[test]
    fn a_revocation_is_final() {
        given::<Token>([]).when(revoke()).then_rejected(Rejection::NotFound);
        given::<Token>([was_issued()]).when(revoke()).then([was_revoked()]);
        given::<Token>([was_issued(), was_revoked()]).when(revoke()).then_nothing();
    }

    #[test]
    fn a_token_is_good_until_its_end_or_its_revocation() {
        let state = fold::<Token>(State::default(), &[was_issued()]);
        assert!(state.good_at(START + TimeDelta::seconds(9)).is_some());
        assert!(state.good_at(START + TimeDelta::seconds(10)).is_none());
        assert!(fold::<Token>(state, &[was_revoked()]).good_at(START).is_none());
        assert!(State::default().good_at(START).is_none());
    }

    #[test]
    fn admin_implies_every_other_scope() {
        let Event::Issued(issued) = was_issued() else { panic!("it was issued") };
        assert!(issued.allows(Scope::Read) && !issued.allows(Scope::Worker) && !issued.allows(Scope::Admin));
        let admin = Issued { scopes: vec![Scope::Admin], ..issued };
        assert!([Scope::Read, Scope::Command, Scope::Worker, Scope::Admin].iter().all(|s| admin.allows(*s)));
    }
}
