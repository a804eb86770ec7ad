//! Data and lines that wait to be written to the standard streams.

use std::collections::VecDeque;

use super::Stream;

/// Data that arrives in small pieces is written in pieces of up to this size.
const JOINED_BYTES_MAX: usize = 64 * 1024;

pub(super) struct Item {
    pub(super) stream: Stream,
    pub(super) bytes: Vec<u8>,
    /// A log line is written by one call, so that lines of several processes do not mix.
    is_line: bool,
}

/// The items of both streams, in the order in which they were pushed.
pub(super) struct Queue {
    items: VecDeque<Item>,
    output: Level,
    errors: Level,
}

/// The state of one stream.
#[derive(Default)]
pub(super) struct Level {
    /// Bytes that are queued or being written.
    pub(super) bytes: usize,
    /// The number of lines that were dropped and not reported yet.
    pub(super) dropped: u64,
}

impl Queue {
    pub(super) const fn new() -> Self {
        Self {
            items: VecDeque::new(),
            output: Level { bytes: 0, dropped: 0 },
            errors: Level { bytes: 0, dropped: 0 },
        }
    }

    pub(super) fn level(&mut self, stream: Stream) -> &mut Level {
        match stream {
            Stream::Output => &mut self.output,
            Stream::Errors => &mut self.errors,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Returns whether nothing is queued, being written, or missing.
    pub(super) fn is_all_written(&self) -> bool {
        [&self.output, &self.errors].iter().all(|level| level.bytes == 0 && level.dropped == 0)
    }

    pub(super) fn push_data(&mut self, stream: Stream, bytes: &[u8]) {
        self.level(stream).bytes += bytes.len();
        if let Some(last) = self.items.back_mut() {
            let room = JOINED_BYTES_MAX.saturating_sub(last.bytes.len());
            if last.stream == stream && !last.is_line && room >= bytes.len() {
                last.bytes.extend_from_slice(bytes);
                return;
            }
        }
        self.items.push_back(Item { stream, bytes: bytes.to_vec(), is_line: false });
    }

    pub(super) fn push_line(&mut self, stream: Stream, line: String) {
        self.level(stream).bytes += line.len();
        self.items.push_back(Item { stream, bytes: line.into_bytes(), is_line: true });
    }

    /// Takes the oldest item. Its bytes count as queued until [`written`](Self::written) is called.
    pub(super) fn pop(&mut self) -> Option<Item> {
        self.items.pop_front()
    }

    pub(super) fn written(&mut self, stream: Stream, count: usize) {
        let level = self.level(stream);
        level.bytes = level.bytes.saturating_sub(count);
    }

    /// Removes all items of this stream.
    pub(super) fn discard(&mut self, stream: Stream) {
        self.items.retain(|item| item.stream != stream);
        *self.level(stream) = Level::default();
    }
}
