//! The bytes of frames over each transport.

use std::ops::Range;

use bytes::Bytes;

use crate::{Frame, Place};

/// First byte of a WebSocket's frame that is a whole text message (RFC 6455, 5.2).
const WHOLE_TEXT: u8 = 0x81;

/// Frames one after another, as one transport sends them.
#[derive(Debug)]
pub(crate) struct Form {
    bytes: Bytes,
    /// The end of each frame.
    ends: Vec<usize>,
}

impl Form {
    /// Frames as server-sent events.
    pub(crate) fn sse(frames: &[Frame]) -> Self {
        let mut events = SseEvents::with_capacity(room_for(frames));
        for frame in frames {
            events.push(frame.id, &frame.event, |text| text.extend_from_slice(&frame.data));
        }
        events.finish().0
    }

    /// Frames as messages of a WebSocket, with the heads a server writes. Each is the JSON object `{id?, event, data}`.
    pub(crate) fn websocket(frames: &[Frame]) -> Self {
        let (mut bytes, mut ends) = (Vec::with_capacity(room_for(frames)), Vec::with_capacity(frames.len()));
        for frame in frames {
            let id = frame.id.map(|id| format!("\"id\":\"{id}\",")).unwrap_or_default();
            let event = serde_json::Value::from(frame.event.as_str());
            let beginning = format!("{{{id}\"event\":{event},\"data\":");
            write_head(&mut bytes, beginning.len() + frame.data.len() + 1);
            bytes.extend_from_slice(beginning.as_bytes());
            bytes.extend_from_slice(&frame.data);
            bytes.push(b'}');
            ends.push(bytes.len());
        }
        Self { bytes: whole(bytes), ends }
    }

    /// The bytes of these frames, which are shared.
    pub(crate) fn slice(&self, frames: &Range<usize>) -> Bytes {
        let end_of = |count: usize| count.checked_sub(1).map_or(0, |last| self.ends[last]);
        self.bytes.slice(end_of(frames.start)..end_of(frames.end))
    }
}

/// Server-sent events while they are written.
pub(crate) struct SseEvents {
    text: Vec<u8>,
    ends: Vec<usize>,
    data: Vec<Range<usize>>,
}

impl SseEvents {
    pub(crate) fn with_capacity(bytes: usize) -> Self {
        Self { text: Vec::with_capacity(bytes), ends: Vec::new(), data: Vec::new() }
    }

    /// Adds an event; its data, which `write` appends, is one line.
    pub(crate) fn push(&mut self, id: Option<Place>, event: &str, write: impl FnOnce(&mut Vec<u8>)) {
        if let Some(id) = id {
            self.text.extend_from_slice(format!("id: {id}\n").as_bytes());
        }
        self.text.extend_from_slice(format!("event: {event}\ndata: ").as_bytes());
        let begin = self.text.len();
        write(&mut self.text);
        self.data.push(begin..self.text.len());
        self.text.extend_from_slice(b"\n\n");
        self.ends.push(self.text.len());
    }

    /// The events, and the data of each as a part of their bytes.
    pub(crate) fn finish(self) -> (Form, Vec<Bytes>) {
        let bytes = whole(self.text);
        let data = self.data.into_iter().map(|range| bytes.slice(range)).collect();
        (Form { bytes, ends: self.ends }, data)
    }
}

/// Bytes that some frames need in one form, about.
fn room_for(frames: &[Frame]) -> usize {
    frames.iter().map(|frame| 128 + frame.data.len()).sum()
}

/// Bytes that are kept take no more memory than they need.
fn whole(bytes: Vec<u8>) -> Bytes {
    bytes.into_boxed_slice().into()
}

/// The head of a WebSocket's frame with a text of this length.
fn write_head(out: &mut Vec<u8>, length: usize) {
    out.push(WHOLE_TEXT);
    match (u8::try_from(length), u16::try_from(length)) {
        (Ok(short @ ..=125), _) => out.push(short),
        (_, Ok(medium)) => {
            out.push(126);
            out.extend_from_slice(&medium.to_be_bytes());
        }
        _ => {
            out.push(127);
            out.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(id: Option<&str>, data: &'static str) -> Frame {
        Frame {
            id: id.map(|id| id.parse().unwrap()),
            event: "task-done".into(),
            data: Bytes::from_static(data.as_bytes()),
        }
    }

    #[test]
    fn a_frame_is_one_server_sent_event_with_its_id() {
        let form = Form::sse(&[frame(Some("0-7-9f3ac21b.1~8"), "{}"), frame(None, "[]")]);
        assert_eq!(form.slice(&(0..1)), "id: 0-7-9f3ac21b.1~8\nevent: task-done\ndata: {}\n\n");
        assert_eq!(form.slice(&(1..2)), "event: task-done\ndata: []\n\n");
        assert_eq!(form.slice(&(0..2)).len(), form.slice(&(0..1)).len() + form.slice(&(1..2)).len());
        assert_eq!(form.slice(&(1..1)), "");
    }

    #[test]
    fn a_message_holds_the_same_frame() {
        let form = Form::websocket(&[frame(None, "[]"), frame(Some("0"), r#"{"a":1}"#)]);
        assert_eq!(form.slice(&(0..1))[2..], *br#"{"event":"task-done","data":[]}"#);
        let message = form.slice(&(1..2));
        assert_eq!(message[..2], [WHOLE_TEXT, 45]);
        assert_eq!(message[2..], *br#"{"id":"0","event":"task-done","data":{"a":1}}"#);
    }

    #[test]
    fn the_length_of_a_message_has_three_forms() {
        let head = |length| {
            let mut head = Vec::new();
            write_head(&mut head, length);
            head
        };
        assert_eq!(head(125), [WHOLE_TEXT, 125]);
        assert_eq!(head(126), [WHOLE_TEXT, 126, 0, 126]);
        assert_eq!(head(65_535), [WHOLE_TEXT, 126, 255, 255]);
        assert_eq!(head(65_536), [WHOLE_TEXT, 127, 0, 0, 0, 0, 0, 1, 0, 0]);
    }
}
