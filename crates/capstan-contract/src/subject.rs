//! The NATS subjects on which parts of Capstan speak to each other; those of streams and callers are the log's.

/// Builds subjects; a lead lets several installations share one server.
///
/// Without a prefix projectors announce themselves on `capstan.int.projected`, with the prefix `t1` on
/// `t1.capstan.int.projected`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subjects {
    lead: String,
}

impl Subjects {
    /// Subjects of an installation; no prefix, or a blank one, leaves them bare.
    pub fn new(prefix: Option<&str>) -> Self {
        let prefix = prefix.filter(|prefix| !prefix.is_empty());
        Self { lead: prefix.map(|prefix| format!("{prefix}.")).unwrap_or_default() }
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
    fn installations_on_one_server_speak_on_subjects_of_their_own() {
        assert_eq!(Subjects::default().projected(), "capstan.int.projected");
        assert_eq!(Subjects::new(Some("")).projected(), "capstan.int.projected");
        assert_eq!(Subjects::new(Some("t1")).projected(), "t1.capstan.int.projected");
    }
}
