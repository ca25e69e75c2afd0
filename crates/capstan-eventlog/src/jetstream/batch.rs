//! Atomic batches of nats-server: all messages of one are stored, or none, with one flush.

use async_nats::client::PublishError;
use async_nats::header::{NATS_BATCH_COMMIT, NATS_BATCH_COMMIT_FINAL, NATS_BATCH_ID, NATS_BATCH_SEQUENCE};
use async_nats::{Client, HeaderMap};
use bytes::Bytes;
use serde::Deserialize;

use super::connection::ApiError;

/// A message of an atomic batch.
#[derive(Clone, Debug)]
pub struct BatchMessage {
    /// Its subject.
    pub subject: String,
    /// Its headers, without those of the batch.
    pub headers: HeaderMap,
    /// Its payload.
    pub payload: Bytes,
}

/// Publishes the messages of an atomic batch but for the last, and returns that one with its headers: sent as a request, it ends
/// the batch, and [`stored_at`] reads the answer. None without messages. The id must be new for every try, because the server may
/// still hold the open half of an earlier one.
pub async fn begin_batch(
    client: &Client,
    id: &str,
    messages: Vec<BatchMessage>,
) -> Result<Option<BatchMessage>, PublishError> {
    let count = messages.len();
    for (number, mut message) in (1..=count).zip(messages) {
        message.headers.insert(NATS_BATCH_ID, id);
        message.headers.insert(NATS_BATCH_SEQUENCE, number.to_string());
        if number == count {
            message.headers.insert(NATS_BATCH_COMMIT, NATS_BATCH_COMMIT_FINAL);
            return Ok(Some(message));
        }
        client.publish_with_headers(message.subject, message.headers, message.payload).await?;
    }
    Ok(None)
}

/// The reason a message or batch counts as not stored.
#[derive(Debug, thiserror::Error)]
pub enum NotStored {
    /// The server says so.
    #[error("store a message: {description} ({code})")]
    Refused {
        /// The server's code of the error.
        code: u64,
        /// The server's description of it.
        description: String,
    },
    /// The acknowledgement names no sequence.
    #[error("store a message: the acknowledgement names no sequence")]
    NoSequence,
    /// The acknowledgement is not JSON of the known shape.
    #[error("store a message: the acknowledgement cannot be read")]
    Unreadable(#[from] serde_json::Error),
}

/// Reads the server's answer to a message or a batch: the sequence of the message, or of the last one of the batch.
pub fn stored_at(answer: &[u8]) -> Result<u64, NotStored> {
    #[derive(Deserialize)]
    struct Ack {
        #[serde(default)]
        seq: u64,
        error: Option<ApiError>,
    }
    match serde_json::from_slice(answer)? {
        Ack { error: Some(ApiError { err_code: code, description }), .. } => {
            Err(NotStored::Refused { code, description })
        }
        Ack { seq: 0, error: None } => Err(NotStored::NoSequence),
        Ack { seq, error: None } => Ok(seq),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_tells_the_sequence_or_why_nothing_is_stored() {
        assert!(matches!(stored_at(br#"{"stream":"S","seq":7,"batch":"b","count":3}"#), Ok(7)));
        let refused = stored_at(br#"{"error":{"code":400,"err_code":10071,"description":"wrong"},"seq":0}"#);
        assert!(
            matches!(refused, Err(NotStored::Refused { code: 10_071, description }) if description == "wrong")
        );
        assert!(matches!(stored_at(b"{}"), Err(NotStored::NoSequence)));
        assert!(matches!(stored_at(b""), Err(NotStored::Unreadable(_))));
    }
}
