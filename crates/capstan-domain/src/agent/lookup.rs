//! Lookup of an agent by a similar name, used when neither id nor key matches.

/// The form in which a given name, a key and a display name are compared: lower case, dashes and underscores as
/// blanks, without one trailing `agent`.
pub fn normal_form(text: &str) -> String {
    let lower = text.to_lowercase().replace(['-', '_'], " ");
    let words: Vec<&str> = lower.split_whitespace().collect();
    match words.as_slice() {
        [name @ .., "agent"] if !name.is_empty() => name.join(" "),
        all => all.join(" "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_one_name_meet() {
        for text in
            ["code-reviewer", "Code_Reviewer", "CODE REVIEWER", "code-reviewer-agent", "Code Reviewer_agent"]
        {
            assert_eq!(normal_form(text), "code reviewer", "{text}");
        }
    }

    #[test]
    fn only_one_trailing_agent_is_left_out_and_never_all_of_a_name() {
        assert_eq!(normal_form("agent"), "agent");
        assert_eq!(normal_form("x-agent-agent"), "x agent");
        assert_eq!(normal_form("agentic"), "agentic");
        assert_eq!(normal_form(" "), "");
    }
}
