//! Queues.

use super::Answer;
use super::asked::{Asked, absent, is_new, json, new_id, not_ahead, written};
use crate::catalog::Usage;
use crate::domain::{Queue, QueueId};
use crate::edge::{catalog_error, queue_from, queue_response};
use crate::protocol::rest::MergePatch;
use crate::protocol::rest::body::QueueRequest;

pub(super) fn list(asked: &Asked) -> Answer {
    let snapshot = asked.edge.catalog.snapshot();
    let queues = snapshot.queues();
    json(&asked.page(queues, |queue| queue.id.0, |queue| Some(queue_response(queue)))?)
}

pub(super) async fn create(asked: &Asked) -> Answer {
    let request: QueueRequest = asked.body()?;
    is_new(request.version)?;
    let id = new_id();
    let queue = queue_from(QueueId(id), &request)?;
    let put = asked.edge.catalog.put(queue, &asked.act()?).await;
    written(id, &put.map_err(|error| catalog_error(&error))?)
}

pub(super) fn read(asked: &Asked) -> Answer {
    let id = QueueId(asked.id("queue")?);
    let snapshot = asked.edge.catalog.snapshot();
    json(&queue_response(snapshot.queue(id).ok_or_else(absent(&snapshot, id))?))
}

pub(super) async fn change(asked: &Asked) -> Answer {
    let id = QueueId(asked.id("queue")?);
    let request: QueueRequest = asked.body()?;
    let snapshot = asked.edge.catalog.snapshot();
    snapshot.queue(id).ok_or_else(absent(&snapshot, id))?;
    replace(asked, id, &request).await
}

pub(super) async fn patch(asked: &Asked) -> Answer {
    let id = QueueId(asked.id("queue")?);
    let patch: MergePatch<QueueRequest> = asked.body()?;
    let snapshot = asked.edge.catalog.snapshot();
    let former = snapshot.queue(id).ok_or_else(absent(&snapshot, id))?;
    let request = patch.over(&queue_response(former).queue)?;
    not_ahead(request.version, former.version)?;
    replace(asked, id, &request).await
}

async fn replace(asked: &Asked, id: QueueId, request: &QueueRequest) -> Answer {
    let put = asked.edge.catalog.put(queue_from(id, request)?, &asked.act()?).await;
    written(id.0, &put.map_err(|error| catalog_error(&error))?)
}

pub(super) async fn delete(asked: &Asked) -> Answer {
    let id = QueueId(asked.id("queue")?);
    let version = asked.version()?;
    let act = asked.act()?;
    let snapshot = asked.edge.catalog.snapshot();
    // One that is active now is not closed, and is not to be deleted should it be inactive then.
    let inactive = snapshot.queue(id).filter(|queue| !queue.active);
    let used = inactive.is_none_or(|queue| asked.edge.router.retire_queue(id, queue.version));
    let usage = if used { Usage::InUse } else { Usage::Unused };
    let deleted = asked.edge.catalog.delete::<Queue>(id, version, usage, &act).await;
    deleted.map_err(|error| catalog_error(&error))?;
    Ok(None)
}
