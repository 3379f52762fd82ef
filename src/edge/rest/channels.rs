//! Channels and their site keys.

use super::Answer;
use super::asked::{Asked, json};
use super::resource::{DeletableResource, Resource};
use crate::catalog::{Channel, Snapshot, Usage};
use crate::domain::ChannelId;
use crate::edge::{access_error, channel_from, channel_response, store_error};
use crate::protocol::rest::ErrorResponse;
use crate::protocol::rest::body::{
    ChannelRequest, ChannelResponse, Secret, SiteKeyRequest, SiteKeyResponse,
};

/// See the module.
pub(super) struct Channels;

impl Resource for Channels {
    type Entity = Channel;
    type Request = ChannelRequest;
    type Response = ChannelResponse;

    const ID: &'static str = "channel";

    fn version(request: &ChannelRequest) -> u64 {
        request.version
    }

    fn present(channel: &Channel) -> ChannelRequest {
        channel_response(channel).channel
    }

    fn shown(channel: &Channel, _: &Snapshot) -> Option<ChannelResponse> {
        Some(channel_response(channel))
    }

    fn fits(channel: &Channel, _: &Snapshot, name: &str, value: &str) -> bool {
        match name {
            "active" => channel.active.to_string() == value,
            "queue" => uuid::Uuid::parse_str(value) == Ok(channel.queue.0),
            _ => true,
        }
    }

    async fn meant(
        _: &Asked,
        id: ChannelId,
        request: ChannelRequest,
        former: Option<&Channel>,
    ) -> Result<Channel, ErrorResponse> {
        Ok(channel_from(id, &request, former))
    }
}

impl DeletableResource for Channels {
    async fn usage(asked: &Asked, channel: &Channel) -> Result<Usage, ErrorResponse> {
        let had = asked.edge.router.channel_had_chats(channel.id).await;
        had.map(Usage::from).map_err(|error| store_error(&error))
    }

    async fn retire(asked: &Asked, channel: &Channel) -> Result<Usage, ErrorResponse> {
        let had = asked.edge.router.retire_channel(channel.id).await;
        had.map(Usage::from).map_err(|error| store_error(&error))
    }

    fn stays(asked: &Asked, id: ChannelId) {
        let channel = asked.edge.catalog.snapshot().channel(id).cloned();
        let open = channel.filter(|channel| channel.active).map(|channel| channel.queue);
        asked.edge.router.set_channel(id, open);
    }
}

pub(super) async fn new_site_key(asked: &Asked) -> Answer {
    let id = asked.id("channel", ChannelId, |_| false)?;
    let request: SiteKeyRequest = asked.body()?;
    let key = asked.edge.access.new_site_key(id, request.version, &asked.act()?).await;
    json(&SiteKeyResponse { site_key: Secret(key.map_err(|error| access_error(&error))?) })
}
