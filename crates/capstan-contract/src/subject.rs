//! The NATS subjects Capstan speaks on besides the log's own.

use uuid::Uuid;

/// Builds and reads subjects; a lead lets several installations share one server.
///
/// Without a prefix a command travels on `capstan.cmd.dev.cancel-task`, with the prefix `t1` on
/// `t1.capstan.cmd.dev.cancel-task`. Names must already be free of dots and wildcards, as
/// `capstan_envelope::Workspace` and the command names are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subjects {
    lead: String,
}

/// A command's subject, taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CommandAddress<'a> {
    /// The tenant it is meant for.
    pub workspace: &'a str,
    /// The command's wire name.
    pub command: &'a str,
}

impl Subjects {
    /// Subjects of an installation; no prefix, or a blank one, leaves them bare.
    pub fn new(prefix: Option<&str>) -> Self {
        let prefix = prefix.filter(|prefix| !prefix.is_empty());
        Self { lead: prefix.map(|prefix| format!("{prefix}.")).unwrap_or_default() }
    }

    /// Where a command is published to be kept and carried out later.
    pub fn command(&self, workspace: &str, command: &str) -> String {
        format!("{}capstan.cmd.{workspace}.{command}", self.lead)
    }

    /// Where the outcome of a kept command appears.
    pub fn command_result(&self, workspace: &str, command_id: Uuid) -> String {
        format!("{}capstan.cmd-result.{workspace}.{command_id}", self.lead)
    }

    /// Where a command is asked for, with its receipt as the reply.
    pub fn rpc(&self, workspace: &str, command: &str) -> String {
        format!("{}capstan.rpc.{workspace}.{command}", self.lead)
    }

    /// Every command of every workspace.
    pub fn all_commands(&self) -> String {
        self.command("*", "*")
    }

    /// One request/reply command of every workspace.
    pub fn rpc_of_all_workspaces(&self, command: &str) -> String {
        self.rpc("*", command)
    }

    /// Where a command that could not be read ends up.
    pub fn dead_letter(&self, workspace: &str, command: &str) -> String {
        format!("{}capstan.dlq.cmd.{workspace}.{command}", self.lead)
    }

    /// Where a commit that a projection could not fold ends up.
    pub fn projection_dead_letter(&self, projection: &str) -> String {
        format!("{}capstan.dlq.projection.{projection}", self.lead)
    }

    /// Takes a command's subject apart; none when it is no command's.
    pub fn parse_command<'a>(&self, subject: &'a str) -> Option<CommandAddress<'a>> {
        self.parse(subject, "capstan.cmd.")
    }

    /// Takes an rpc subject apart; none when it is none.
    pub fn parse_rpc<'a>(&self, subject: &'a str) -> Option<CommandAddress<'a>> {
        self.parse(subject, "capstan.rpc.")
    }

    /// Takes the subject of a command's outcome apart: workspace and command id.
    pub fn parse_command_result<'a>(&self, subject: &'a str) -> Option<(&'a str, Uuid)> {
        let CommandAddress { workspace, command } = self.parse(subject, "capstan.cmd-result.")?;
        Some((workspace, command.parse().ok()?))
    }

    fn parse<'a>(&self, subject: &'a str, kind: &str) -> Option<CommandAddress<'a>> {
        let rest = subject.strip_prefix(self.lead.as_str())?.strip_prefix(kind)?;
        let (workspace, command) = rest.split_once('.')?;
        let whole = !workspace.is_empty() && !command.is_empty() && !command.contains('.');
        whole.then_some(CommandAddress { workspace, command })
    }

    /// A worker asks the engine for attempts.
    pub fn engine_lease(&self) -> String {
        self.internal("engine.lease")
    }

    /// A worker renews its leases.
    pub fn engine_renew(&self) -> String {
        self.internal("engine.renew")
    }

    /// A worker introduces itself.
    pub fn engine_register(&self) -> String {
        self.internal("engine.register")
    }

    /// A worker wants no more work.
    pub fn engine_drain(&self) -> String {
        self.internal("engine.drain")
    }

    /// Somebody asks why a task is not running.
    pub fn engine_why(&self) -> String {
        self.internal("engine.why")
    }

    /// Somebody asks who watches for something.
    pub fn engine_watchers(&self) -> String {
        self.internal("engine.watchers")
    }

    /// Somebody asks which workers there are.
    pub fn engine_workers(&self) -> String {
        self.internal("engine.workers")
    }

    /// A worker asks for an approved tool call.
    pub fn engine_tool_calls(&self) -> String {
        self.internal("engine.tool-calls")
    }

    /// A projector announces how far its rows reach.
    pub fn projected(&self) -> String {
        self.internal("projected")
    }

    fn internal(&self, name: &str) -> String {
        format!("{}capstan.int.{name}", self.lead)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_subject_reads_back() {
        for subjects in [Subjects::default(), Subjects::new(Some("t1"))] {
            let subject = subjects.command("dev", "cancel-task");
            let address = CommandAddress { workspace: "dev", command: "cancel-task" };
            assert_eq!(subjects.parse_command(&subject), Some(address));
            assert_eq!(subjects.parse_rpc(&subject), None);
            assert_eq!(subjects.parse_rpc(&subjects.rpc("dev", "cancel-task")), Some(address));
            let id = Uuid::from_u128(7);
            assert_eq!(subjects.parse_command_result(&subjects.command_result("dev", id)), Some(("dev", id)));
        }
        assert_eq!(Subjects::new(Some("")).command("dev", "x"), "capstan.cmd.dev.x");
    }

    #[test]
    fn foreign_subjects_are_no_commands() {
        let subjects = Subjects::new(Some("t1"));
        for subject in [
            "capstan.cmd.dev.cancel-task",
            "t1.capstan.cmd.dev",
            "t1.capstan.cmd..x",
            "t1.capstan.cmd.dev.",
            "t1.capstan.cmd.dev.a.b",
            "",
        ] {
            assert_eq!(subjects.parse_command(subject), None, "{subject:?}");
        }
        assert_eq!(subjects.parse_command_result("t1.capstan.cmd-result.dev.nope"), None);
    }
}
