//! Channels and their site keys.

use super::Answer;
use super::asked::{Asked, absent, is_new, json, new_id, not_ahead, written};
use crate::catalog::{Channel, Usage};
use crate::domain::ChannelId;
use crate::edge::{access_error, catalog_error, channel_from, channel_response, store_error};
use crate::protocol::rest::MergePatch;
use crate::protocol::rest::body::{ChannelRequest, Secret, SiteKeyRequest, SiteKeyResponse};

pub(super) fn list(asked: &Asked) -> Answer {
    let snapshot = asked.edge.catalog.snapshot();
    let channels = snapshot.channels();
    json(&asked.page(
        channels,
        |channel| channel.id.0,
        |channel| Some(channel_response(channel)),
    )?)
}

pub(super) async fn create(asked: &Asked) -> Answer {
    let request: ChannelRequest = asked.body()?;
    is_new(request.version)?;
    let id = new_id();
    let channel = channel_from(ChannelId(id), &request, None);
    let put = asked.edge.catalog.put(channel, &asked.act()?).await;
    written(id, &put.map_err(|error| catalog_error(&error))?)
}

pub(super) fn read(asked: &Asked) -> Answer {
    let id = ChannelId(asked.id("channel")?);
    let snapshot = asked.edge.catalog.snapshot();
    json(&channel_response(snapshot.channel(id).ok_or_else(absent(&snapshot, id))?))
}

pub(super) async fn change(asked: &Asked) -> Answer {
    let id = ChannelId(asked.id("channel")?);
    let request: ChannelRequest = asked.body()?;
    let snapshot = asked.edge.catalog.snapshot();
    let former = snapshot.channel(id).ok_or_else(absent(&snapshot, id))?;
    replace(asked, former, &request).await
}

pub(super) async fn patch(asked: &Asked) -> Answer {
    let id = ChannelId(asked.id("channel")?);
    let patch: MergePatch<ChannelRequest> = asked.body()?;
    let snapshot = asked.edge.catalog.snapshot();
    let former = snapshot.channel(id).ok_or_else(absent(&snapshot, id))?;
    let request = patch.over(&channel_response(former).channel)?;
    not_ahead(request.version, former.version)?;
    replace(asked, former, &request).await
}

async fn replace(asked: &Asked, former: &Channel, request: &ChannelRequest) -> Answer {
    let channel = channel_from(former.id, request, Some(former));
    let put = asked.edge.catalog.put(channel, &asked.act()?).await;
    written(former.id.0, &put.map_err(|error| catalog_error(&error))?)
}

pub(super) async fn delete(asked: &Asked) -> Answer {
    let id = ChannelId(asked.id("channel")?);
    let version = asked.version()?;
    let act = asked.act()?;
    let snapshot = asked.edge.catalog.snapshot();
    // One that is active now is not closed, and is not to be deleted should it be inactive then.
    let inactive = snapshot.channel(id).is_some_and(|channel| !channel.active);
    let had = match inactive {
        true => asked.edge.router.retire_channel(id).await.map_err(|error| store_error(&error))?,
        false => true,
    };
    let usage = if had { Usage::InUse } else { Usage::Unused };
    let deleted = asked.edge.catalog.delete::<Channel>(id, version, usage, &act).await;
    if deleted.is_err() {
        // It may have been activated in between.
        let channel = asked.edge.catalog.snapshot().channel(id).cloned();
        let open = channel.filter(|channel| channel.active).map(|channel| channel.queue);
        asked.edge.router.set_channel(id, open);
    }
    deleted.map_err(|error| catalog_error(&error))?;
    Ok(None)
}

pub(super) async fn new_site_key(asked: &Asked) -> Answer {
    let id = ChannelId(asked.id("channel")?);
    let request: SiteKeyRequest = asked.body()?;
    let key = asked.edge.access.new_site_key(id, request.version, &asked.act()?).await;
    json(&SiteKeyResponse { site_key: Secret(key.map_err(|error| access_error(&error))?) })
}
