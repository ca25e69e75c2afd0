//! The framing of `text/event-stream`, read piece by piece.

/// One event of a stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SseEvent {
    /// The event's id, when it carries one.
    pub id: Option<String>,
    /// The event's name; `message` when it carries none.
    pub event: String,
    /// The event's data, lines joined.
    pub data: String,
}

/// Reads events from bytes that may be cut anywhere.
#[derive(Debug, Default)]
pub struct SseParser {
    line: Vec<u8>,
    after_carriage_return: bool,
    past_start: bool,
    id: Option<String>,
    event: String,
    data: Option<String>,
}

impl SseParser {
    /// A parser at the start of a stream.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds bytes; returns the events that they complete.
    pub fn push(&mut self, bytes: &[u8]) -> Vec<SseEvent> {
        let mut events = Vec::new();
        for &byte in bytes {
            let follows_carriage_return = std::mem::replace(&mut self.after_carriage_return, byte == b'\r');
            match byte {
                b'\n' if follows_carriage_return => {}
                b'\n' | b'\r' => events.extend(self.end_line()),
                byte => self.line.push(byte),
            }
        }
        events
    }

    fn end_line(&mut self) -> Option<SseEvent> {
        let line = std::mem::take(&mut self.line);
        let line = String::from_utf8_lossy(&line);
        let mut line = &*line;
        if !std::mem::replace(&mut self.past_start, true) {
            line = line.trim_start_matches('\u{feff}');
        }
        if line.is_empty() {
            return self.end_event();
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut self.event),
            "id" if !value.contains('\0') => self.id = Some(value.to_owned()),
            "data" => match &mut self.data {
                Some(data) => {
                    data.push('\n');
                    data.push_str(value);
                }
                None => self.data = Some(value.to_owned()),
            },
            // Comments (an empty field name) keep the connection alive; other fields mean nothing to us.
            _ => {}
        }
        None
    }

    fn end_event(&mut self) -> Option<SseEvent> {
        let (id, event) = (self.id.take(), std::mem::take(&mut self.event));
        let data = self.data.take()?;
        let event = if event.is_empty() { "message".to_owned() } else { event };
        Some(SseEvent { id, event, data })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: &[u8] =
        b"\xef\xbb\xbf: ping\r\n\r\nid: 7.0\nevent: task-accepted\ndata: {\"a\":\ndata: \"\xc3\xa4\"}\n\n\
        data:x\rid:8\r\revent: lonely\n\nid: 9\r\nevent:end\r\ndata\r\n\r\ndata: unfinished";

    fn expected() -> Vec<SseEvent> {
        let event = |id: &str, event: &str, data: &str| SseEvent {
            id: Some(id.to_owned()),
            event: event.to_owned(),
            data: data.to_owned(),
        };
        vec![
            event("7.0", "task-accepted", "{\"a\":\n\"ä\"}"),
            event("8", "message", "x"),
            event("9", "end", ""),
        ]
    }

    #[test]
    fn every_line_ending_comment_and_field_is_understood() {
        assert_eq!(SseParser::new().push(STREAM), expected());
    }

    #[test]
    fn it_does_not_matter_where_the_bytes_are_cut() {
        for cut in 0..STREAM.len() {
            let mut parser = SseParser::new();
            let mut events = parser.push(&STREAM[..cut]);
            events.extend(parser.push(&STREAM[cut..]));
            assert_eq!(events, expected(), "cut at {cut}");
        }
        let mut parser = SseParser::new();
        let single: Vec<_> = STREAM.iter().flat_map(|byte| parser.push(&[*byte])).collect();
        assert_eq!(single, expected());
    }
}
