//! The state of sessions on this machine: a directory each, and the agent's own session id.

use std::path::{Path, PathBuf};
use std::{fs, io};

use capstan_client::{AgentId, LeasedAttempt, RunId};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

/// All sessions this worker has worked on.
pub(crate) struct Sessions {
    folder: PathBuf,
}

/// One session: an agent's conversation in a workspace.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    folder: PathBuf,
}

/// The stored form.
#[derive(Serialize, Deserialize)]
struct Record {
    /// The agent's own session id.
    session: String,
    /// Only for operators who look into the folder.
    capstan_session: String,
    agent: AgentId,
    run: RunId,
}

impl Sessions {
    /// Those of one kind of agent.
    pub(crate) fn new(state_dir: &Path, runner: &str) -> Self {
        Self { folder: state_dir.join(runner) }
    }

    /// The session of an attempt. Its id may be any text, so the folder's name derives from it.
    pub(crate) fn of(&self, leased: &LeasedAttempt) -> Session {
        let name = Uuid::new_v5(&leased.agent_id.0, leased.session_id.as_bytes());
        Session { folder: self.folder.join(&leased.workspace).join(name.to_string()) }
    }
}

impl Session {
    fn file(&self) -> PathBuf {
        self.folder.join("session.json")
    }

    /// The agent's own session id, if it is known.
    pub(crate) fn recall(&self) -> Option<String> {
        let record: Record = serde_json::from_slice(&fs::read(self.file()).ok()?).ok()?;
        Some(record.session)
    }

    /// Stores the agent's own session id at once, so that an interrupted attempt can be resumed too.
    pub(crate) fn remember(&self, session_id: &str, leased: &LeasedAttempt) -> io::Result<()> {
        let record = Record {
            session: session_id.to_owned(),
            capstan_session: leased.session_id.clone(),
            agent: leased.agent_id,
            run: leased.run_id,
        };
        fs::create_dir_all(&self.folder)?;
        let draft = self.folder.join("session.json.draft");
        fs::write(&draft, serde_json::to_vec_pretty(&record)?)?;
        fs::rename(draft, self.file())
    }

    /// Forgets the session.
    pub(crate) fn forget(&self) {
        // What cannot be removed is written over by the session that follows.
        let _ = fs::remove_file(self.file());
    }

    /// The working directory: the agent's own if it exists on this machine, else one of the session.
    pub(crate) fn working_directory(&self, leased: &LeasedAttempt) -> io::Result<PathBuf> {
        let own = leased.agent_config.get("workspace_dir").and_then(Value::as_str).map(PathBuf::from);
        if let Some(own) = own.filter(|own| own.is_absolute() && own.is_dir()) {
            return Ok(own);
        }
        self.directory()
    }

    /// A directory that all runs of the session share.
    pub(crate) fn directory(&self) -> io::Result<PathBuf> {
        let folder = self.folder.join("work");
        fs::create_dir_all(&folder)?;
        Ok(folder)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn leased(session_id: &str) -> LeasedAttempt {
        LeasedAttempt { session_id: session_id.into(), ..crate::fixture::leased() }
    }

    #[test]
    fn a_session_is_remembered_by_workspace_agent_and_session_whatever_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let sessions = Sessions::new(folder.path(), "x");
        let odd = leased("../../ä:schedule:7");
        assert_eq!(sessions.of(&odd).recall(), None);
        sessions.of(&odd).remember("s-1", &odd).unwrap();
        sessions.of(&odd).remember("s-2", &odd).unwrap();
        assert_eq!(sessions.of(&odd).recall().as_deref(), Some("s-2"));
        for other in [
            leased("other"),
            LeasedAttempt { workspace: "prod".into(), ..odd.clone() },
            LeasedAttempt { agent_id: AgentId(Uuid::from_u128(7)), ..odd.clone() },
        ] {
            assert_eq!(sessions.of(&other).recall(), None);
        }
        sessions.of(&odd).forget();
        assert_eq!(sessions.of(&odd).recall(), None);
    }

    #[test]
    fn an_agent_works_in_its_own_directory_when_there_is_one() {
        let folder = tempfile::tempdir().unwrap();
        let mut leased = leased("s");
        let session = Sessions::new(folder.path(), "x").of(&leased);
        leased.agent_config.insert("workspace_dir".into(), json!("/no/such/directory"));
        let own = session.working_directory(&leased).unwrap();
        assert!(own.is_dir() && own.starts_with(folder.path()));
        leased.agent_config.insert("workspace_dir".into(), json!(folder.path()));
        assert_eq!(session.working_directory(&leased).unwrap(), folder.path());
    }
}
