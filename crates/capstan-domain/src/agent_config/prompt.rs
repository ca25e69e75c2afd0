//! The default system prompt of an agent, and the generated sections of a prompt.

/// The default system prompt.
const TEMPLATE: &str = "You are an agent that works for the people of one workspace. Do the task you are given, \
    from beginning to end, with the tools you have. Keep files you make in your working directory. When something \
    you need is missing, or an action cannot be taken back, ask before you act. Finish with a short account of what \
    you did, what you found, and what is left to do.";

/// The heading of the guidance on scheduling; what follows it, up to the next heading, is the guidance.
const SCHEDULING: &str = "## Working over time";

/// The guidance for an agent on waiting and coming back.
const GUIDANCE: &str = "If the task has to go on later, say so instead of waiting: ask to be woken, with a reason and \
    what to do then, and end your turn. If it has to be repeated on certain days or hours, ask for a schedule, and \
    name the time zone. When you are woken, the time has come: begin with the work, do not ask for another wake.";

/// The heading of a list of skills that was written into a prompt.
const SKILLS: &str = "## Active skills";

/// The prompt of an agent that has none.
pub(super) fn default_prompt() -> String {
    with_guidance(TEMPLATE)
}

/// The prompt with today's guidance on scheduling, once: older wording gives way.
fn with_guidance(prompt: &str) -> String {
    let rest = without_section(prompt, SCHEDULING);
    format!("{}\n\n{SCHEDULING}\n\n{GUIDANCE}", rest.trim_end())
}

/// The prompt without a list of skills, which is made of the configuration's own list.
pub(super) fn without_skills(prompt: &str) -> String {
    without_section(prompt, SKILLS)
}

/// The sentence above the skills in a prompt.
const MANDATORY: &str =
    "These skills are mandatory. Read each of them before you begin, and work as they say:";

/// The prompt with these skills first, whatever it contains. Without any, a list written into the prompt takes their
/// place.
pub(super) fn with_skills(prompt: &str, names: &[&str]) -> String {
    let list = if names.is_empty() {
        let written = prompt.lines().skip_while(|line| line.trim_end() != SKILLS).skip(1);
        let written: Vec<_> = written.take_while(|line| !line.starts_with("## ")).collect();
        written.join("\n").replace(MANDATORY, "").trim().to_owned()
    } else {
        names.iter().map(|name| format!("- {name}")).collect::<Vec<_>>().join("\n")
    };
    if list.is_empty() {
        return prompt.to_owned();
    }
    let rest = without_skills(prompt);
    format!("{SKILLS}\n\n{MANDATORY}\n\n{list}\n\n{rest}").trim_end().to_owned()
}

/// The prompt without the sections of this heading, each up to the next heading of its level or the end.
fn without_section(prompt: &str, heading: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let mut inside = false;
    for line in prompt.lines() {
        if line.starts_with("## ") {
            inside = line.trim_end() == heading;
        }
        if !inside {
            kept.push(line);
        }
    }
    kept.join("\n").trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guidance_is_appended_once_and_older_wording_gives_way() {
        let once = with_guidance("Be kind.");
        assert_eq!(with_guidance(&once), once);
        assert_eq!(once.matches(SCHEDULING).count(), 1);
        let older = format!("Be kind.\n\n{SCHEDULING}\n\nWait as long as you like.\n\n## Style\n\nShort.");
        let newer = with_guidance(&older);
        assert!(
            newer.contains("Be kind.") && newer.contains("Short.") && !newer.contains("as you like"),
            "{newer}"
        );
    }

    #[test]
    fn skills_come_first_and_are_mandatory() {
        let told = with_skills(&format!("Be kind.\n\n{SKILLS}\n- old"), &["a", "b"]);
        assert_eq!(told, format!("{SKILLS}\n\n{MANDATORY}\n\n- a\n- b\n\nBe kind."));
        assert_eq!(with_skills("", &["a"]), format!("{SKILLS}\n\n{MANDATORY}\n\n- a"));
    }

    #[test]
    fn a_list_that_was_written_into_a_prompt_is_strengthened_once() {
        let written = format!("Be kind.\n\n{SKILLS}\n\n- a\n\n## Style\n\nShort.");
        let told = with_skills(&written, &[]);
        assert_eq!(told, format!("{SKILLS}\n\n{MANDATORY}\n\n- a\n\nBe kind.\n\n## Style\n\nShort."));
        assert_eq!(with_skills(&told, &[]), told);
        assert_eq!(with_skills("Be kind.", &[]), "Be kind.");
    }

    #[test]
    fn a_list_of_skills_is_cut_out() {
        let prompt = format!("Be kind.\n\n{SKILLS}\n\n- a\n\n## Style\n\nShort.");
        assert_eq!(without_skills(&prompt), "Be kind.\n\n## Style\n\nShort.");
        assert_eq!(without_skills(&format!("{SKILLS}\n- a")), "");
    }
}
