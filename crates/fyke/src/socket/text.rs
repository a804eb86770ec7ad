//! Text instead of bytes: the decoder of a socket, and when it emits text.
// RD-15 … RD-17

use super::{Event, Hears, Socket};
use crate::Encoding;
use crate::text::Decoder;

/// # Text
impl Socket {
    /// Sets the encoding with which [`on_text`](Self::on_text) decodes the received bytes. Default UTF-8.
    /// It may be called at any time; the incomplete character that the previous encoding has buffered is
    /// discarded. The encoding is kept when the socket connects again. Lengths and counters stay in bytes.
    /// Node: `socket.setEncoding()`.
    ///
    /// ```
    /// use fyke::{Encoding, Socket};
    ///
    /// let socket = Socket::new();
    /// socket.set_encoding("latin1".parse()?);
    /// assert_eq!(socket.encoding(), Some(Encoding::Latin1));
    /// # Ok::<(), fyke::Error>(())
    /// ```
    #[doc(alias = "setEncoding")]
    pub fn set_encoding(&self, encoding: Encoding) -> &Self {
        self.inner.state.borrow_mut().rare().decoder = Some((encoding, Decoder::new(encoding)));
        self
    }

    /// Returns the encoding that was set, or `None` if none was set. Node: `readableEncoding`.
    ///
    /// ```
    /// let socket = fyke::Socket::new();
    /// assert_eq!(socket.encoding(), None);
    /// assert_eq!(socket.set_encoding(fyke::Encoding::Hex).encoding(), Some(fyke::Encoding::Hex));
    /// # Ok::<(), fyke::Error>(())
    /// ```
    #[doc(alias = "readableEncoding")]
    pub fn encoding(&self) -> Option<Encoding> {
        let state = self.inner.state.borrow();
        state.rare_if_any()?.decoder.as_ref().map(|(encoding, _)| *encoding)
    }

    /// Passes bytes to the listeners, as bytes and as text.
    pub(super) fn emit_data(&self, bytes: &[u8]) {
        // A listener for text that was added by a listener for these bytes does not get them.
        let as_text = self.inner.listeners.has(Hears::One(Event::Text));
        self.emit_bytes(bytes);
        if as_text && !self.is_destroyed() {
            self.decode(|decoder, text| decoder.decode(bytes, text));
        }
    }

    /// Emits the rest of the text, just before `end`.
    pub(super) fn finish_text(&self) {
        if self.inner.listeners.has(Hears::One(Event::Text)) {
            self.decode(Decoder::finish);
        }
    }

    /// Returns the length of the text that was received and not delivered, in UTF-16 code units, as Node
    /// counts it once there is an encoding.
    // RD-16
    pub(super) fn stored_units(&self) -> Option<usize> {
        let state = self.inner.state.borrow();
        let (encoding, _) = state.rare_if_any()?.decoder.as_ref()?;
        let mut text = String::new();
        Decoder::new(*encoding).decode(&state.read.copy_stored(), &mut text);
        Some(text.encode_utf16().count())
    }

    fn decode(&self, decode: impl FnOnce(&mut Decoder, &mut String)) {
        let mut text = String::new();
        {
            let mut state = self.inner.state.borrow_mut();
            let default = || (Encoding::Utf8, Decoder::new(Encoding::Utf8));
            let (_, decoder) = state.rare().decoder.get_or_insert_with(default);
            decode(decoder, &mut text);
        }
        if !text.is_empty() {
            self.emit_text(&text);
        }
    }
}
