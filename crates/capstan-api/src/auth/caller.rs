//! An authenticated caller.

use std::sync::Arc;

use capstan_domain::matching::Reach;
use capstan_domain::token::{self, Issued};
use capstan_envelope::Actor;

use super::place::Place;
use crate::operation::Scope;
use crate::problem::{Code, Problem};

/// An authenticated caller.
#[derive(Clone, Debug)]
pub(crate) enum Caller {
    /// An administrator of the installation, under this name.
    Installation(&'static str),
    /// A worker of this workspace that NATS authorised.
    BusWorker(String),
    /// The holder of a token.
    Token(Arc<Issued>),
}

impl Caller {
    /// The actor recorded in the log.
    pub(crate) fn actor(&self) -> Actor {
        let name = match self {
            Self::Installation(name) => (*name).to_owned(),
            Self::BusWorker(_) => "nats".to_owned(),
            Self::Token(issued) => issued.name.clone(),
        };
        Actor::Client { name }
    }

    /// The workspaces the caller may see.
    pub(crate) fn reach(&self) -> Reach {
        match self {
            Self::Installation(_) => Reach::All,
            Self::BusWorker(workspace) => Reach::Only([workspace.clone()].into()),
            Self::Token(issued) => Reach::Only([issued.workspace.clone()].into()),
        }
    }

    /// Refuses an operation the caller may not execute; another workspace is not found.
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
            // The path of a worker names no workspace: the engine is handed the caller's workspaces.
            Place::Anywhere if scope == Scope::Worker => {}
            Place::Anywhere => {
                let detail = "this operation requires the admin token of the installation";
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
        Err(Problem::new(Code::Forbidden, format!("the token lacks the scope {needed}")))
    }
}
