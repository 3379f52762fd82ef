//! Queues.

use super::asked::Asked;
use super::resource::{DeletableResource, Resource};
use crate::catalog::{Snapshot, Usage, rule_word};
use crate::domain::{Queue, QueueId};
use crate::edge::{queue_from, queue_response};
use crate::protocol::rest::ErrorResponse;
use crate::protocol::rest::body::{QueueRequest, QueueResponse};

/// See the module.
pub(super) struct Queues;

impl Resource for Queues {
    type Entity = Queue;
    type Request = QueueRequest;
    type Response = QueueResponse;

    const ID: &'static str = "queue";

    fn version(request: &QueueRequest) -> u64 {
        request.version
    }

    fn present(queue: &Queue) -> QueueRequest {
        queue_response(queue).queue
    }

    fn shown(queue: &Queue, _: &Snapshot) -> Option<QueueResponse> {
        Some(queue_response(queue))
    }

    fn fits(queue: &Queue, _: &Snapshot, name: &str, value: &str) -> bool {
        match name {
            "active" => queue.active.to_string() == value,
            "rule" => rule_word(queue.rule) == value,
            _ => true,
        }
    }

    async fn meant(
        _: &Asked,
        id: QueueId,
        request: QueueRequest,
        _: Option<&Queue>,
    ) -> Result<Queue, ErrorResponse> {
        queue_from(id, &request)
    }
}

impl DeletableResource for Queues {
    async fn usage(asked: &Asked, queue: &Queue) -> Result<Usage, ErrorResponse> {
        Ok(asked.edge.router.queue_has_chats(queue.id).into())
    }

    async fn retire(asked: &Asked, queue: &Queue) -> Result<Usage, ErrorResponse> {
        Ok(asked.edge.router.retire_queue(queue.id, queue.version).into())
    }
}
