//! Grams: what the index knows of a text.
//!
//! A text is folded, and cut into runs of letters and digits. Each place of a run is a gram of the character there and the two behind
//! it, with zeros behind the end of the run. Other characters are a gram each, but for white space. So whatever text occurs in another
//! one has its grams there, or begins one of them.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use sha2::{Digest, Sha256};

/// A gram: three characters of 21 bits, or a mark that is no character and a hash of 42 bits.
pub(crate) type Gram = i64;

/// Bits of a character.
const CHARACTER: u32 = 21;
/// Most grams of the texts of a task. One with more is looked at in every search instead: this is the text of a book's chapter, or an
/// encoded file.
const TEXT_GRAMS_MAX: usize = 4_096;

/// The task has too many grams.
pub(crate) const TOO_MANY: Gram = 0x001f_ffff << (2 * CHARACTER);
/// Begins the gram of a workspace.
const WORKSPACE: Gram = 0x001f_fffe;
/// Begins the gram of a label.
const LABEL: Gram = 0x001f_fffd;

/// A text without differences of case: each character in lower, then upper, then lower case, by Unicode, so that `ẞ`, `ß` and `SS` are the
/// same. NUL is shown as in rows.
pub(crate) fn folded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\0' => out.push(char::REPLACEMENT_CHARACTER),
            _ if character.is_ascii() => out.push(character.to_ascii_lowercase()),
            _ => {
                let upper = character.to_lowercase().flat_map(char::to_uppercase);
                out.extend(upper.flat_map(char::to_lowercase));
            }
        }
    }
    out
}

fn joined(characters: [Option<char>; 3]) -> Gram {
    let code = |character: Option<char>| Gram::from(character.map_or(0, u32::from));
    characters.into_iter().fold(0, |gram, character| gram << CHARACTER | code(character))
}

/// A part of a folded text.
enum Part<'a> {
    /// Letters and digits; true at the end of the text.
    Run(&'a str, bool),
    Other(char),
}

fn parts(folded: &str) -> impl Iterator<Item = Part<'_>> {
    let mut rest = folded;
    std::iter::from_fn(move || {
        rest = rest.trim_start();
        let first = rest.chars().next()?;
        let end = rest.find(|character: char| !character.is_alphanumeric()).unwrap_or(rest.len());
        let (run, behind) = rest.split_at(if end > 0 { end } else { first.len_utf8() });
        rest = behind;
        Some(if end > 0 { Part::Run(run, behind.is_empty()) } else { Part::Other(first) })
    })
}

/// The grams at the places of a run.
fn of_run(run: &str) -> impl Iterator<Item = Gram> {
    let second = run.chars().map(Some).skip(1).chain([None, None]);
    let third = run.chars().map(Some).skip(2).chain([None, None]);
    run.chars().zip(second.zip(third)).map(|(first, (second, third))| joined([Some(first), second, third]))
}

/// The grams of a task, sorted.
pub(crate) fn of_task<'a>(
    workspace: &str,
    labels: &BTreeMap<String, String>,
    texts: impl IntoIterator<Item = &'a str>,
) -> Vec<Gram> {
    let mut grams = Vec::new();
    for text in texts {
        for part in parts(&folded(text)) {
            match part {
                Part::Run(run, _) => grams.extend(of_run(run)),
                Part::Other(character) => grams.push(joined([Some(character), None, None])),
            }
            // Whoever repeats the same ones has few.
            if grams.len() >= 4 * TEXT_GRAMS_MAX {
                distinct(&mut grams);
                if grams.len() > TEXT_GRAMS_MAX {
                    break;
                }
            }
        }
    }
    distinct(&mut grams);
    if grams.len() > TEXT_GRAMS_MAX {
        grams = vec![TOO_MANY];
    }
    grams.push(of_workspace(workspace));
    grams.extend(labels.iter().map(|(name, value)| of_label(workspace, name, value)));
    distinct(&mut grams);
    grams
}

fn distinct(grams: &mut Vec<Gram>) {
    grams.sort_unstable();
    grams.dedup();
}

/// The gram of a workspace.
pub(crate) fn of_workspace(workspace: &str) -> Gram {
    hashed(WORKSPACE, &[workspace])
}

/// The gram of a label in a workspace.
pub(crate) fn of_label(workspace: &str, name: &str, value: &str) -> Gram {
    hashed(LABEL, &[workspace, name, value])
}

fn hashed(mark: Gram, texts: &[&str]) -> Gram {
    let mut hasher = Sha256::new();
    for text in texts {
        hasher.update((text.len() as u64).to_be_bytes());
        hasher.update(text);
    }
    let mut first = [0; 8];
    first.copy_from_slice(&hasher.finalize()[..8]);
    mark << (2 * CHARACTER) | (i64::from_be_bytes(first) & ((1 << (2 * CHARACTER)) - 1))
}

/// The grams of a text that contains a wanted one.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// All of these.
    All(BTreeSet<Gram>),
    /// One in this range: the wanted text is one or two characters that may begin a longer run.
    Within(RangeInclusive<Gram>),
}

/// The grams of texts that contain this folded one. Without letters, digits and signs it is in texts with any grams.
pub(crate) fn wanted(folded: &str) -> Wanted {
    let (mut all, mut within) = (BTreeSet::new(), None);
    for part in parts(folded) {
        match part {
            Part::Other(character) => {
                all.insert(joined([Some(character), None, None]));
            }
            Part::Run(run, false) => all.extend(of_run(run)),
            // Nobody knows what follows.
            Part::Run(run, true) => {
                let mut characters = run.chars();
                match (characters.next(), characters.next(), characters.next()) {
                    (Some(first), second, None) => within = Some((first, second)),
                    _ => all.extend(of_run(run).take(run.chars().count().saturating_sub(2))),
                }
            }
        }
    }
    match within {
        Some((first, second)) if all.is_empty() => {
            let end = Some(char::MAX);
            Wanted::Within(joined([Some(first), second, None])..=joined([Some(first), second.or(end), end]))
        }
        Some(_) | None => Wanted::All(all),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> BTreeSet<Gram> {
        let mut grams: BTreeSet<_> = of_task("dev", &BTreeMap::new(), [text]).into_iter().collect();
        assert!(grams.remove(&of_workspace("dev")));
        grams
    }

    fn finds(sought: &str, text: &str) -> bool {
        match wanted(&folded(sought)) {
            Wanted::All(all) => all.is_subset(&of(text)),
            Wanted::Within(range) => of(text).range(range).next().is_some(),
        }
    }

    #[test]
    fn every_part_of_a_text_is_found_by_its_grams() {
        for text in ["Straße 7, 30% off: \u{1f600}\u{1f600} ÀÉ-ab", "猫が好き a", "++ x2\u{0}y", "ς Σίσυφος"]
        {
            let places: Vec<usize> = text.char_indices().map(|(at, _)| at).chain([text.len()]).collect();
            for (number, begin) in places.iter().enumerate() {
                for end in &places[number + 1..] {
                    let sought = &text[*begin..*end];
                    assert!(finds(sought, text), "{sought:?} in {text:?}");
                    assert!(finds(&sought.to_uppercase(), text), "{sought:?} in {text:?}, in upper case");
                }
            }
        }
    }

    #[test]
    fn what_no_text_has_is_not_found() {
        for sought in ["strasser", "q", "8", "xé-", "&", "猫がす", "7, 31%"] {
            assert!(!finds(sought, "Straße 7, 30% off: ÀÉ-ab 猫が好き"), "{sought}");
        }
    }

    #[test]
    fn case_is_folded_by_unicode() {
        assert_eq!(folded("ÄÖ ẞß Σσς İ\0K"), "äö ssss σσσ i\u{307}\u{fffd}k");
    }

    #[test]
    fn a_text_with_too_many_grams_has_one_of_its_own() {
        let many: Vec<_> = (0..6_000).map(|number| format!("{number:05x}")).collect();
        let many = many.join(" ");
        assert_eq!(of(&many), BTreeSet::from([TOO_MANY]));
        assert!(of(&many[..3_000]).len() < TEXT_GRAMS_MAX);
    }

    #[test]
    fn grams_of_names_are_apart_from_those_of_texts() {
        let last = joined([Some(char::MAX); 3]);
        assert!(of_workspace("dev") > last && of_label("dev", "a", "b") > last && TOO_MANY > last);
        assert_ne!(of_label("dev", "a", "bc"), of_label("dev", "ab", "c"));
    }
}
