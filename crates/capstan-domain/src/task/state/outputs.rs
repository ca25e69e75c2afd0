//! Outputs of a task.

use std::collections::BTreeMap;

use data_encoding::{BASE64, BASE64URL_NOPAD};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_json::{Map, Value};

use crate::id::OutputId;
use crate::stored::Nothing;
use crate::task::event::{OutputFinalized, OutputProduced, OutputStatus, OutputStatusChanged};
use crate::text::cut;

/// Outputs that stay known by name after they were decided on: the newest of them.
const NAMED_MAX: usize = 16;
/// Most bytes kept of a title.
pub(in crate::task) const TITLE_BYTES_MAX: usize = 512;
/// Most bytes of the name of a wait group and of each text of a draft.
pub(in crate::task) const NAME_BYTES_MAX: usize = 1024;

/// The first bytes of a fingerprint under the key of the log; two texts of one task have the same with a chance of 1 to 10^14.
type Digest = [u8; 6];
/// Digits of a fingerprint that hold as many bytes.
const FINGERPRINT_DIGITS: usize = 8;

/// The facts that are kept of every output: its id, the contents it has and its status, in 21 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    /// The last bytes of its id, which are random.
    id: [u8; 8],
    /// Fingerprint of the command that produced it, zero without one: only an equal command is a repeat.
    made_as: Digest,
    /// Fingerprint of the final summary, zero without one: the same once more changes nothing.
    summarised_as: Digest,
    /// Its status.
    pub status: OutputStatus,
    /// True once it is archived.
    pub is_archived: bool,
}

/// An output that waits for a decision, or one of the newest of the others.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Named {
    /// Its place among the task's outputs, from 1.
    pub number: u32,
    /// A name for people, at most 512 bytes of it.
    pub title: String,
    /// The wait group its metadata names.
    #[serde(default, skip_serializing_if = "crate::stored::is_nothing")]
    pub wait_group_id: Option<String>,
    /// True when its pending status asks for an approval.
    #[serde(default, skip_serializing_if = "crate::stored::is_nothing")]
    pub is_approval: bool,
    /// The draft, when it is an email that was not sent.
    #[serde(default, skip_serializing_if = "crate::stored::is_nothing")]
    pub draft: Option<EmailDraft>,
}

/// An email that waits to be sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EmailDraft {
    /// Id of the draft.
    pub draft_id: String,
    /// Id of its thread.
    #[serde(default, skip_serializing_if = "crate::stored::is_nothing")]
    pub thread_id: Option<String>,
    /// The recipient.
    #[serde(default, skip_serializing_if = "crate::stored::is_nothing")]
    pub to: Option<String>,
    /// The subject line.
    #[serde(default, skip_serializing_if = "crate::stored::is_nothing")]
    pub subject: Option<String>,
}

/// All outputs of a task. Each has a record; texts are kept of those that wait for a decision, and of the newest others.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Outputs {
    /// One for each output, in the order of their creation.
    #[serde(default, skip_serializing_if = "crate::stored::is_nothing")]
    records: Records,
    /// The outputs with their texts.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    named: BTreeMap<OutputId, Named>,
}

/// Records, stored as one text.
#[derive(Clone, Debug, Default, PartialEq)]
struct Records(Vec<Record>);

impl Nothing for Records {}

/// An output as a decision sees it.
#[derive(Clone, Copy, Debug)]
pub struct Known<'a> {
    /// Its place among the task's outputs, from 1.
    pub number: u32,
    /// Its facts.
    pub record: &'a Record,
    /// Its texts, while they are kept.
    pub named: Option<&'a Named>,
}

impl Record {
    const BYTES: usize = 21;

    fn produced(e: &OutputProduced) -> Self {
        Self {
            id: key(e.output_id),
            made_as: e.fingerprint.as_deref().and_then(digest).unwrap_or_default(),
            summarised_as: Digest::default(),
            status: e.status,
            is_archived: false,
        }
    }

    /// True when a command of this fingerprint produced it.
    pub(in crate::task) fn is_made_as(&self, fingerprint: &str) -> bool {
        digest(fingerprint) == Some(self.made_as)
    }

    /// True when this is the fingerprint of its final summary.
    pub(in crate::task) fn has_summary(&self, fingerprint: &str) -> bool {
        digest(fingerprint) == Some(self.summarised_as)
    }

    /// True while a decision on it, or its activation, is to come: whoever does that names it by its whole id.
    fn is_open(&self) -> bool {
        matches!(self.status, OutputStatus::Pending | OutputStatus::Approved)
    }

    fn encode(self, bytes: &mut Vec<u8>) {
        bytes.extend(self.id);
        bytes.extend(self.made_as);
        bytes.extend(self.summarised_as);
        bytes.push(status_number(self.status) | if self.is_archived { ARCHIVED } else { 0 });
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (id, rest) = bytes.split_first_chunk()?;
        let (made_as, rest) = rest.split_first_chunk()?;
        let (summarised_as, rest) = rest.split_first_chunk()?;
        let [flags] = rest else { return None };
        let status = STATUSES.get(usize::from(flags & !ARCHIVED)).copied()?;
        let is_archived = flags & ARCHIVED != 0;
        Some(Self { id: *id, made_as: *made_as, summarised_as: *summarised_as, status, is_archived })
    }
}

const ARCHIVED: u8 = 0x80;
/// The statuses by the number they are stored as.
const STATUSES: [OutputStatus; 5] = [
    OutputStatus::Pending,
    OutputStatus::Active,
    OutputStatus::Approved,
    OutputStatus::Rejected,
    OutputStatus::Cancelled,
];

fn status_number(status: OutputStatus) -> u8 {
    match status {
        OutputStatus::Pending => 0,
        OutputStatus::Active => 1,
        OutputStatus::Approved => 2,
        OutputStatus::Rejected => 3,
        OutputStatus::Cancelled => 4,
    }
}

fn key(id: OutputId) -> [u8; 8] {
    let bytes = id.0.as_bytes();
    bytes.last_chunk().copied().unwrap_or_default()
}

impl Serialize for Records {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut bytes = Vec::with_capacity(self.0.len() * Record::BYTES);
        self.0.iter().for_each(|record| record.encode(&mut bytes));
        serializer.serialize_str(&BASE64.encode(&bytes))
    }
}

impl<'de> Deserialize<'de> for Records {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes = BASE64.decode(text.as_bytes()).map_err(de::Error::custom)?;
        let records: Option<Vec<_>> = bytes.chunks(Record::BYTES).map(Record::decode).collect();
        records.map(Self).ok_or_else(|| de::Error::custom("not the records of outputs"))
    }
}

impl Named {
    fn produced(e: &OutputProduced, number: u32) -> Self {
        Self {
            number,
            title: cut(&e.title, TITLE_BYTES_MAX).to_owned(),
            wait_group_id: wait_group(&e.metadata),
            is_approval: asks_for_approval(e),
            draft: draft(&e.output_type, &e.data, &e.metadata),
        }
    }

    /// Drops what only a decision on it reads, once it is in force without one, or gone.
    fn shrink(&mut self, record: &Record) {
        let is_settled = matches!(record.status, OutputStatus::Active | OutputStatus::Cancelled);
        if is_settled || record.is_archived {
            self.wait_group_id = None;
            self.is_approval = false;
            self.draft = None;
        }
        if record.is_open() && record.is_archived {
            self.title = String::new();
        }
    }
}

impl<'a> Known<'a> {
    /// Its name for people; its number once the title is not kept.
    pub(in crate::task) fn title(&self) -> String {
        match self.named.map(|named| named.title.as_str()).filter(|title| !title.is_empty()) {
            Some(title) => title.to_owned(),
            None => format!("output {}", self.number),
        }
    }

    /// The draft, when it is an email that was not sent.
    pub(in crate::task) fn draft(&self) -> Option<&'a EmailDraft> {
        self.named?.draft.as_ref()
    }

    /// The wait group it belongs to.
    pub(in crate::task) fn wait_group_id(&self) -> Option<&'a str> {
        self.named?.wait_group_id.as_deref()
    }

    /// True while it waits for an approval.
    pub(in crate::task) fn awaits_approval(&self) -> bool {
        let is_open = self.record.status == OutputStatus::Pending && !self.record.is_archived;
        is_open && self.named.is_some_and(|named| named.is_approval)
    }
}

impl Outputs {
    /// Number of outputs, archived ones included.
    pub fn len(&self) -> usize {
        self.records.0.len()
    }

    /// True without any output.
    pub fn is_empty(&self) -> bool {
        self.records.0.is_empty()
    }

    /// The output of this id.
    pub fn get(&self, id: OutputId) -> Option<Known<'_>> {
        let key = key(id);
        let place = self.records.0.iter().position(|record| record.id == key)?;
        Some(self.at(place, self.named.get(&id)))
    }

    /// True when the task has this output.
    pub fn contains(&self, id: OutputId) -> bool {
        self.get(id).is_some()
    }

    /// The outputs whose texts are kept, oldest first: all that wait for a decision, and the newest others.
    pub fn named(&self) -> impl Iterator<Item = (OutputId, Known<'_>)> {
        let mut named: Vec<_> = self.named.iter().collect();
        named.sort_by_key(|(id, named)| (named.number, **id));
        named.into_iter().filter_map(|(id, _)| Some((*id, self.get(*id)?)))
    }

    fn at<'a>(&'a self, place: usize, named: Option<&'a Named>) -> Known<'a> {
        let number = u32::try_from(place).unwrap_or(u32::MAX).saturating_add(1);
        Known { number, record: &self.records.0[place], named }
    }

    /// Bytes of the texts of outputs that wait for a decision.
    pub(in crate::task) fn open_text_bytes(&self) -> usize {
        let open = self.named.values().filter(|named| {
            let place = named.number.saturating_sub(1) as usize;
            self.records.0.get(place).is_some_and(Record::is_open)
        });
        open.map(text_bytes).sum()
    }

    pub(in crate::task) fn produced(&mut self, e: &OutputProduced) {
        let record = Record::produced(e);
        let place = self.records.0.iter().position(|known| known.id == record.id);
        let place = place.unwrap_or(self.records.0.len());
        let number = u32::try_from(place).unwrap_or(u32::MAX).saturating_add(1);
        if place == self.records.0.len() {
            self.records.0.push(record);
        } else {
            self.records.0[place] = record;
        }
        let mut named = Named::produced(e, number);
        named.shrink(&record);
        self.named.insert(e.output_id, named);
        self.forget();
    }

    pub(in crate::task) fn status_changed(&mut self, e: &OutputStatusChanged) {
        self.change(e.output_id, |record| record.status = e.status);
    }

    pub(in crate::task) fn finalized(&mut self, e: &OutputFinalized) {
        self.change(e.output_id, |record| {
            record.summarised_as = digest(&e.fingerprint).unwrap_or_default();
        });
    }

    pub(in crate::task) fn archived(&mut self, output_id: OutputId) {
        self.change(output_id, |record| record.is_archived = true);
    }

    fn change(&mut self, id: OutputId, change: impl FnOnce(&mut Record)) {
        let key = key(id);
        let Some(place) = self.records.0.iter().position(|record| record.id == key) else { return };
        let record = &mut self.records.0[place];
        change(record);
        let number = u32::try_from(place).unwrap_or(u32::MAX).saturating_add(1);
        if record.is_open() {
            self.named.entry(id).or_insert_with(|| Named { number, ..Named::default() });
        }
        if let Some(named) = self.named.get_mut(&id) {
            named.shrink(record);
        }
        self.forget();
    }

    /// Drops the texts of the oldest outputs that wait for nothing.
    fn forget(&mut self) {
        if self.named.len() <= NAMED_MAX {
            return;
        }
        let records = &self.records.0;
        let is_open =
            |named: &Named| records.get(named.number.saturating_sub(1) as usize).is_some_and(Record::is_open);
        let mut closed: Vec<_> = self.named.iter().filter(|(_, named)| !is_open(named)).collect();
        closed.sort_by_key(|(id, named)| (named.number, **id));
        let surplus = closed.len().saturating_sub(NAMED_MAX);
        let gone: Vec<OutputId> = closed.into_iter().take(surplus).map(|(id, _)| *id).collect();
        for id in gone {
            self.named.remove(&id);
        }
    }
}

fn text_bytes(named: &Named) -> usize {
    let draft = named.draft.as_ref().map_or(0, |draft| {
        let others = [&draft.thread_id, &draft.to, &draft.subject];
        draft.draft_id.len() + others.into_iter().flatten().map(String::len).sum::<usize>()
    });
    named.title.len() + named.wait_group_id.as_ref().map_or(0, String::len) + draft
}

/// Bytes that the texts of a new output take while it waits for a decision.
pub(in crate::task) fn open_text_bytes(e: &OutputProduced) -> usize {
    if e.status == OutputStatus::Pending { text_bytes(&Named::produced(e, 0)) } else { 0 }
}

/// The first bytes of a fingerprint.
fn digest(fingerprint: &str) -> Option<Digest> {
    let first = fingerprint.as_bytes().first_chunk::<FINGERPRINT_DIGITS>()?;
    BASE64URL_NOPAD.decode(first).ok()?.try_into().ok()
}

/// True for a pending output that is marked as something to approve, or has no mark at all.
fn asks_for_approval(produced: &OutputProduced) -> bool {
    let metadata = &produced.metadata;
    let marks = ["_blocking_kind", "_input_kind", "_approval_surface"];
    let is_marked = marks.iter().any(|key| metadata.contains_key(*key));
    let says = |key: &str, word: &str| metadata.get(key).and_then(Value::as_str) == Some(word);
    produced.status == OutputStatus::Pending
        && (!is_marked
            || says("_blocking_kind", "approval")
            || says("_input_kind", "approve_reject")
            || is_surface(metadata))
}

/// True when the output is how people see an approval.
pub(in crate::task) fn is_surface(metadata: &Map<String, Value>) -> bool {
    metadata.get("_approval_surface").is_some_and(|value| *value != Value::Bool(false))
}

/// The wait group that metadata name.
pub(in crate::task) fn wait_group(metadata: &Map<String, Value>) -> Option<String> {
    text(metadata, "_wait_group_id")
}

/// An email with a draft id and no message id was drafted and not sent.
pub(in crate::task) fn draft(
    output_type: &str,
    data: &Map<String, Value>,
    metadata: &Map<String, Value>,
) -> Option<EmailDraft> {
    let of = |key: &str| text(data, key).or_else(|| text(metadata, key));
    if output_type != "email" || of("message_id").is_some() {
        return None;
    }
    Some(EmailDraft {
        draft_id: of("draft_id")?,
        thread_id: of("thread_id"),
        to: of("to"),
        subject: of("subject"),
    })
}

fn text(map: &Map<String, Value>, key: &str) -> Option<String> {
    map.get(key).and_then(Value::as_str).map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned)
}
