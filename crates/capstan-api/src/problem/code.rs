//! The stable codes of problems; each has a page in `docs/errors`.

macro_rules! codes {
    ($($variant:ident, $text:literal, $status:literal, $title:literal;)*) => {
        /// The kind of a problem. Callers rely on the text and the status; both are stable.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, schemars::JsonSchema)]
        #[schemars(rename = "ProblemCode")]
        #[expect(missing_docs, reason = "each variant is explained on its page in docs/errors")]
        pub enum Code { $(#[schemars(rename = $text)] $variant,)* }

        impl Code {
            /// Every code.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The stable text.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }

            /// The HTTP status.
            pub fn status(self) -> u16 {
                match self { $(Self::$variant => $status,)* }
            }

            /// A short title.
            pub fn title(self) -> &'static str {
                match self { $(Self::$variant => $title,)* }
            }

            /// The page that explains the code, in Markdown.
            pub fn page(self) -> &'static str {
                match self {
                    $(Self::$variant => include_str!(concat!("../../../../docs/errors/", $text, ".md")),)*
                }
            }
        }
    };
}

codes! {
    MalformedRequest, "malformed_request", 400, "The request is malformed";
    Unauthenticated, "unauthenticated", 401, "No valid token";
    Forbidden, "forbidden", 403, "Not allowed";
    NotFound, "not_found", 404, "Not found";
    MethodNotAllowed, "method_not_allowed", 405, "Method not allowed";
    AgentExists, "agent_exists", 409, "The agent already exists";
    WorkspaceExists, "workspace_exists", 409, "The workspace already exists";
    TaskExists, "task_exists", 409, "The task already exists";
    AgentHasOpenTasks, "agent_has_open_tasks", 409, "The agent has open tasks";
    ChannelTaken, "channel_taken", 409, "The address is bound to another workspace";
    QuotaExceeded, "quota_exceeded", 409, "Quota reached";
    AgentInactive, "agent_inactive", 409, "The agent is inactive";
    IllegalTransition, "illegal_transition", 409, "Not possible in this state";
    TaskArchived, "task_archived", 409, "The task is archived";
    TaskFull, "task_full", 409, "The task is full";
    LeaseLost, "lease_lost", 409, "The lease is lost";
    OutputConflict, "output_conflict", 409, "The id belongs to another output";
    BlockerClosed, "blocker_closed", 409, "The question is closed";
    SessionBusy, "session_busy", 409, "The session is busy";
    IdempotencyConflict, "idempotency_conflict", 409, "The key was used for another command";
    IdempotencyKeyArchived, "idempotency_key_archived", 409, "The key was used before, and its answer is archived";
    PositionUnknown, "position_unknown", 409, "The position is not in the log";
    VersionMismatch, "version_mismatch", 412, "The entity has changed";
    RequestTimeout, "request_timeout", 408, "The request did not arrive in time";
    RateLimited, "rate_limited", 429, "Too many requests";
    PayloadTooLarge, "payload_too_large", 413, "The payload is too large";
    UnsupportedEncoding, "unsupported_encoding", 415, "The encoding of the body is not supported";
    ValidationFailed, "validation_failed", 422, "Validation failed";
    MessageRequired, "message_required", 422, "A message is required";
    InternalError, "internal_error", 500, "Internal error";
    Contended, "contended", 503, "Too many concurrent changes";
    LogUnavailable, "log_unavailable", 503, "The log is unavailable";
    ReadModelUnavailable, "read_model_unavailable", 503, "The read models are unavailable";
    EngineUnavailable, "engine_unavailable", 503, "The engine is unavailable";
    PositionTimeout, "position_timeout", 504, "The read models did not reach the position in time";
}

impl Code {
    /// The code with this text.
    pub fn from_text(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| code.as_str() == text)
    }

    /// True when the same request may succeed later.
    pub fn is_temporary(self) -> bool {
        matches!(self.status(), 429 | 503 | 504)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_a_page_that_says_what_happened_and_what_to_do() {
        for code in Code::ALL {
            let page = code.page();
            assert!(page.starts_with(&format!("# {}", code.as_str())), "{}", code.as_str());
            assert!(page.contains(&code.status().to_string()), "{} names its status", code.as_str());
            assert!(page.contains("## What to do"), "{}", code.as_str());
            assert_eq!(Code::from_text(code.as_str()), Some(*code));
        }
    }
}
