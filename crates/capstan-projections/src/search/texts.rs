//! What is searched of a task, and what is sought.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde::Deserialize;

use super::gram::{self, Gram, Wanted};
use super::pages::Places;

/// Label, message and labels of a task, as its row and its acceptance have them.
#[derive(Debug)]
pub(crate) struct Texts<'a> {
    label: &'a str,
    message: Cow<'a, str>,
    labels: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Acceptance<'a> {
    #[serde(borrow)]
    accepted: Accepted<'a>,
}

#[derive(Deserialize)]
struct Accepted<'a> {
    #[serde(borrow)]
    message: Cow<'a, str>,
    #[serde(default)]
    labels: BTreeMap<String, String>,
}

/// A row of a task, of which only later changes of its texts are read.
#[derive(Deserialize)]
struct Row<'a> {
    #[serde(borrow)]
    progress: Progress<'a>,
}

#[derive(Deserialize)]
struct Progress<'a> {
    #[serde(borrow, default)]
    changes: Changes<'a>,
}

#[derive(Default, Deserialize)]
struct Changes<'a> {
    #[serde(borrow)]
    payload: Option<Payload<'a>>,
    labels: Option<Labelled>,
}

#[derive(Deserialize)]
struct Payload<'a> {
    #[serde(borrow)]
    message: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct Labelled {
    labels: Option<BTreeMap<String, String>>,
}

impl<'a> Texts<'a> {
    /// The texts in the column `label`, and in the documents of a task and its acceptance.
    pub(crate) fn read(
        label: Option<&'a str>,
        doc: &'a str,
        acceptance: &'a str,
    ) -> serde_json::Result<Self> {
        let Acceptance { accepted } = serde_json::from_str(acceptance)?;
        let Row { progress: Progress { changes } } = serde_json::from_str(doc)?;
        let message = changes.payload.and_then(|payload| payload.message).unwrap_or(accepted.message);
        let labels = changes.labels.and_then(|labelled| labelled.labels).unwrap_or(accepted.labels);
        Ok(Self { label: label.unwrap_or_default(), message, labels })
    }

    /// Their grams, sorted.
    pub(crate) fn grams(&self, workspace: &str) -> Vec<Gram> {
        gram::of_task(workspace, &self.labels, [self.label, &self.message])
    }
}

/// What is sought in tasks. All of it must be there.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sought {
    /// A folded text, in label or message; none when empty.
    text: String,
    /// Names and values.
    labels: BTreeMap<String, String>,
}

impl Sought {
    pub(crate) fn new(text: Option<&str>, labels: &BTreeMap<String, String>) -> Self {
        Self { text: gram::folded(text.unwrap_or_default()), labels: labels.clone() }
    }

    /// True when nothing is sought.
    pub(crate) fn is_empty(&self) -> bool {
        self.text.is_empty() && self.labels.is_empty()
    }

    /// True for a task that has it.
    pub(crate) fn is_in(&self, texts: &Texts<'_>) -> bool {
        let is_labelled = |(name, value)| texts.labels.get(name) == Some(value);
        self.labels.iter().all(is_labelled)
            && (self.text.is_empty()
                || [texts.label, &texts.message].iter().any(|text| gram::folded(text).contains(&self.text)))
    }

    /// The grams of tasks that may have it.
    pub(crate) fn grams(&self, workspace: &str) -> SoughtGrams {
        let of_label = |(name, value): (&String, &String)| gram::of_label(workspace, name, value);
        let names = self.labels.iter().map(of_label).chain([gram::of_workspace(workspace)]).collect();
        SoughtGrams { names, text: gram::wanted(&self.text) }
    }
}

/// Grams that are sought in a block.
#[derive(Debug)]
pub(crate) struct SoughtGrams {
    /// Those of the workspace and of labels; all of them.
    names: BTreeSet<Gram>,
    text: Wanted,
}

impl SoughtGrams {
    /// Single grams whose places are needed.
    pub(crate) fn single(&self) -> Vec<Gram> {
        let mut single: Vec<_> = self.names.iter().copied().chain([gram::TOO_MANY]).collect();
        if let Wanted::All(all) = &self.text {
            single.extend(all);
        }
        single
    }

    /// The first and the last one of a range of grams whose places are needed.
    pub(crate) fn range(&self) -> Option<(Gram, Gram)> {
        match &self.text {
            Wanted::All(_) => None,
            Wanted::Within(range) => Some((*range.start(), *range.end())),
        }
    }

    /// The tasks of a block that may have it, by the places of single grams and those of the range. Grams whose places are not
    /// known exclude none.
    pub(crate) fn places(&self, of: &HashMap<Gram, Places>, within: Option<&Places>) -> Places {
        let mut with_text = Places::ALL;
        if let Wanted::All(all) = &self.text {
            all.iter().filter_map(|gram| of.get(gram)).for_each(|places| with_text.intersect(places));
        }
        if let Some(places) = within {
            with_text.intersect(places);
        }
        if let Some(places) = of.get(&gram::TOO_MANY) {
            with_text.unite(places);
        }
        self.names.iter().filter_map(|gram| of.get(gram)).for_each(|places| with_text.intersect(places));
        with_text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_changes_stand_before_the_acceptance() {
        let acceptance = r#"{"workspace":"dev","at":"2026-01-01T00:00:00Z","accepted":{"message":"one\u0000","labels":{"a":"b"}}}"#;
        let plain = Texts::read(None, r#"{"progress":{"state":"done"}}"#, acceptance).unwrap();
        assert_eq!((&*plain.message, plain.labels["a"].as_str()), ("one\0", "b"));
        let doc = r#"{"progress":{"changes":{"payload":{"message":"two"},"labels":{"labels":{"c":"d"}}}}}"#;
        let changed = Texts::read(Some("name"), doc, acceptance).unwrap();
        assert_eq!((&*changed.message, changed.labels["c"].as_str(), changed.label), ("two", "d", "name"));
        let sought = |text: &str, name: &str| {
            Sought::new(Some(text), &BTreeMap::from([(name.to_owned(), "d".to_owned())])).is_in(&changed)
        };
        assert!(sought("TW", "c") && sought("AM", "c"));
        assert!(!sought("one", "c") && !sought("two", "a") && !sought("nametwo", "c"));
    }
}
