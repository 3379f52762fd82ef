//! Reasons to be away.

use super::asked::Asked;
use super::resource::{DeletableResource, Resource};
use crate::catalog::{ListedReason, Snapshot, Usage};
use crate::domain::AwayReasonId;
use crate::edge::{reason_from, reason_response};
use crate::protocol::rest::ErrorResponse;
use crate::protocol::rest::body::{AwayReasonRequest, AwayReasonResponse};

/// See the module.
pub(super) struct AwayReasons;

impl Resource for AwayReasons {
    type Entity = ListedReason;
    type Request = AwayReasonRequest;
    type Response = AwayReasonResponse;

    const ID: &'static str = "away_reason";

    fn version(request: &AwayReasonRequest) -> u64 {
        request.version
    }

    fn present(reason: &ListedReason) -> AwayReasonRequest {
        reason_response(reason).reason
    }

    fn shown(reason: &ListedReason, _: &Snapshot) -> Option<AwayReasonResponse> {
        Some(reason_response(reason))
    }

    fn fits(reason: &ListedReason, _: &Snapshot, name: &str, value: &str) -> bool {
        name != "active" || reason.active.to_string() == value
    }

    async fn meant(
        _: &Asked,
        id: AwayReasonId,
        request: AwayReasonRequest,
        _: Option<&ListedReason>,
    ) -> Result<ListedReason, ErrorResponse> {
        Ok(reason_from(id, &request))
    }
}

/// Whoever is away for it has its text: nothing refers to the document.
impl DeletableResource for AwayReasons {
    async fn usage(_: &Asked, _: &ListedReason) -> Result<Usage, ErrorResponse> {
        Ok(Usage::Unused)
    }

    async fn retire(_: &Asked, _: &ListedReason) -> Result<Usage, ErrorResponse> {
        Ok(Usage::Unused)
    }
}
