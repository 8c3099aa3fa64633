//! What all WebSockets here have in common.

use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

/// How a WebSocket is read whose messages have at most `most` bytes.
pub(crate) fn config(most: usize) -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER)
        .max_message_size(Some(most))
        .max_frame_size(Some(most))
}

/// The bytes that are read at once. The library fills as many with zeros before it reads, twice for a short
/// message, and keeps them while the socket is silent. A long message has a buffer of its own length, and takes
/// a read for each of these.
const READ_BUFFER: usize = 16 * 1024;
