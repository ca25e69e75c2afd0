//! Who asks, once that is known.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use capstan_domain::matching::Reach;
use capstan_domain::token::{self, Issued};
use capstan_envelope::Actor;

use super::Place;
use crate::operation::Scope;
use crate::problem::{Code, Problem};

/// Somebody who was let in.
#[derive(Clone, Debug)]
pub(crate) enum Caller {
    /// Somebody trusted with the whole installation, under this name.
    Installation(&'static str),
    /// Somebody NATS lets speak for workers of this workspace.
    BusWorker(String),
    /// The holder of a token.
    Token(Arc<Issued>),
}

impl Caller {
    /// As whom the log knows the caller.
    pub(crate) fn actor(&self) -> Actor {
        let name = match self {
            Self::Installation(name) => (*name).to_owned(),
            Self::BusWorker(_) => "nats".to_owned(),
            Self::Token(issued) => issued.name.clone(),
        };
        Actor::Client { name }
    }

    /// The workspaces the caller has anything to do with.
    pub(crate) fn reach(&self) -> Reach {
        match self {
            Self::Installation(_) => Reach::All,
            Self::BusWorker(workspace) => Reach::Only([workspace.clone()].into()),
            Self::Token(issued) => Reach::Only([issued.workspace.clone()].into()),
        }
    }

    /// Refuses what the caller may not do; what is in another workspace does not exist.
    pub(crate) fn must_be_allowed(&self, scope: Scope, place: &Place) -> Result<(), Problem> {
        let own = match self {
            Self::Installation(_) => return Ok(()),
            Self::BusWorker(workspace) => workspace,
            Self::Token(issued) => &issued.workspace,
        };
        let is_elsewhere = |workspace: &String| workspace != own;
        match place {
            Place::Workspace(workspace) if is_elsewhere(workspace) => {
                return Err(Problem::not_found("workspace"));
            }
            Place::Attempt(workspace) if workspace.as_ref().is_none_or(is_elsewhere) => {
                return Err(Problem::not_found("attempt"));
            }
            Place::Workspace(_) | Place::Attempt(_) => {}
            // Workers belong to no path: the engine is told which workspaces they may serve.
            Place::Anywhere if scope == Scope::Worker => {}
            Place::Anywhere => {
                let detail = "this is for those who run the installation, not for a workspace's token";
                return Err(Problem::new(Code::Forbidden, detail));
            }
        }
        let needed = match scope {
            Scope::Public => return Ok(()),
            Scope::Read => token::Scope::Read,
            Scope::Command => token::Scope::Command,
            Scope::Worker => token::Scope::Worker,
            Scope::Admin => token::Scope::Admin,
        };
        let is_allowed = match self {
            Self::Installation(_) => true,
            Self::BusWorker(_) => needed == token::Scope::Worker,
            Self::Token(issued) => issued.allows(needed),
        };
        if is_allowed {
            return Ok(());
        }
        let needed = format!("{needed:?}").to_lowercase();
        Err(Problem::new(Code::Forbidden, format!("the token does not have the scope {needed}")))
    }
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let caller = parts.extensions.get::<Self>().cloned();
        caller.ok_or_else(|| Problem::new(Code::Unauthenticated, "nobody was asked who calls"))
    }
}
