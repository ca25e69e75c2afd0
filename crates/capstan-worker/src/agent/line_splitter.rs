//! Bytes of a pipe into lines of text.

/// The longest line of text handed on; longer ones come in pieces.
pub(crate) const LINE_MAX: usize = 64 * 1024;

/// Cuts bytes, which may be cut anywhere themselves, into lines.
#[derive(Debug)]
pub(super) struct LineSplitter {
    /// The longest line that comes whole.
    line_max: usize,
    line: Vec<u8>,
    /// True while the rest of a line that was too long is being read.
    in_pieces: bool,
}

/// A line, or a piece of one that was too long.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) text: String,
    /// True when this is the whole line.
    pub(crate) is_whole: bool,
}

impl LineSplitter {
    pub(super) fn new(line_max: usize) -> Self {
        Self { line_max, line: Vec::new(), in_pieces: false }
    }

    /// Takes the next bytes and gives what became complete.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Vec<Line> {
        let mut lines = Vec::new();
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            let (part, is_end) = match part.strip_suffix(b"\n") {
                Some(part) => (part, true),
                None => (part, false),
            };
            self.line.extend_from_slice(part);
            while self.line.len() > if self.in_pieces { LINE_MAX } else { self.line_max } {
                let rest = self.line.split_off(piece_end(&self.line));
                let piece = std::mem::replace(&mut self.line, rest);
                self.in_pieces = true;
                lines.push(Line { text: text(&piece), is_whole: false });
            }
            if is_end {
                lines.extend(self.end());
            }
        }
        lines
    }

    /// The last line, when it has no line end.
    pub(super) fn finish(&mut self) -> Option<Line> {
        if self.line.is_empty() { None } else { self.end() }
    }

    fn end(&mut self) -> Option<Line> {
        let is_whole = !std::mem::take(&mut self.in_pieces);
        let mut line = std::mem::take(&mut self.line);
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        (is_whole || !line.is_empty()).then(|| Line { text: text(&line), is_whole })
    }
}

/// The largest cut that splits no UTF-8 character.
fn piece_end(line: &[u8]) -> usize {
    let is_inside = |index: &usize| line[*index] & 0b1100_0000 == 0b1000_0000;
    (LINE_MAX - 3..=LINE_MAX).rev().find(|index| !is_inside(index)).unwrap_or(LINE_MAX)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(pieces: &[&[u8]]) -> Vec<Line> {
        let mut splitter = LineSplitter::new(LINE_MAX);
        let mut lines: Vec<_> = pieces.iter().flat_map(|piece| splitter.push(piece)).collect();
        lines.extend(splitter.finish());
        lines
    }

    fn whole(text: &str) -> Line {
        Line { text: text.to_owned(), is_whole: true }
    }

    #[test]
    fn lines_are_the_same_wherever_the_bytes_are_cut() {
        let bytes = "one\r\n\nzwei ä\nlast".as_bytes();
        for cut in 0..=bytes.len() {
            assert_eq!(
                split(&[&bytes[..cut], &bytes[cut..]]),
                [whole("one"), whole(""), whole("zwei ä"), whole("last")],
                "cut at {cut}"
            );
        }
    }

    #[test]
    fn what_is_not_text_is_replaced_and_not_lost() {
        assert_eq!(split(&[b"a\xffb\n"]), [whole("a\u{fffd}b")]);
    }

    #[test]
    fn a_long_line_comes_in_pieces_that_cut_no_character() {
        let long = "ä".repeat(LINE_MAX) + "\nnext\n";
        let lines = split(&[long.as_bytes()]);
        let pieces: Vec<_> = lines.iter().filter(|line| !line.is_whole).collect();
        assert!(pieces.iter().all(|piece| piece.text.len() <= LINE_MAX && !piece.text.contains('\u{fffd}')));
        assert_eq!(pieces.iter().map(|piece| piece.text.as_str()).collect::<String>(), "ä".repeat(LINE_MAX));
        assert_eq!(lines.last(), Some(&whole("next")));
    }
}
