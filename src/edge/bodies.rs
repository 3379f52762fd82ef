//! Users, operators, channels, queues and reasons to be away between REST bodies and the catalog.

use crate::catalog::{Channel, ListedReason, Provider, Role, Sender, Snapshot, User};
use crate::domain::queue::BadQueue;
use crate::domain::{AwayReasonId, ChannelId, Priority, Queue, QueueId, UserId};
use crate::protocol::Wire;
use crate::protocol::rest::body::{
    AwayReasonRequest, AwayReasonResponse, ChannelRequest, ChannelResponse, OperatorResponse,
    ProviderWord, QueueRequest, QueueResponse, SenderWord, UserRequest, UserResponse, UserRole,
};
use crate::protocol::rest::{ErrorResponse, RestErrorKind};

/// The user that a request means, over the one that is there. The password is not in it: it has
/// to be hashed first ([`Access::new_password`](crate::access::Access::new_password)).
pub fn user_from(id: UserId, request: &UserRequest, former: Option<&User>) -> User {
    let role = match request.role {
        UserRole::Administrator => Role::Administrator,
        UserRole::ChatAdministrator => Role::ChatAdministrator,
        UserRole::Operator => Role::Operator,
    };
    User {
        version: request.version,
        active: request.active,
        capacity: request.capacity,
        password: former.and_then(|former| former.password.clone()),
        demo_password: former.is_some_and(|former| former.demo_password),
        ..User::new(id, &request.name, &request.login, role)
    }
}

/// The request that would leave a user as it is. The password stays inside.
pub fn user_request(user: &User) -> UserRequest {
    let shown = user_response(user);
    UserRequest {
        version: shown.version,
        name: shown.name,
        login: shown.login,
        role: shown.role,
        active: shown.active,
        capacity: shown.capacity,
        password: None,
    }
}

/// What a user looks like. The password stays inside.
pub fn user_response(user: &User) -> UserResponse {
    UserResponse {
        id: Wire(user.id),
        version: user.version,
        name: user.name.clone(),
        login: user.login.clone(),
        role: match user.role {
            Role::Administrator => UserRole::Administrator,
            Role::ChatAdministrator => UserRole::ChatAdministrator,
            Role::Operator => UserRole::Operator,
        },
        active: user.active,
        capacity: user.capacity,
        has_password: user.password.is_some(),
        demo_password: user.demo_password,
    }
}

/// What an operator looks like; none for a user who does not serve chats. The status is known
/// elsewhere.
pub fn operator_response(user: &User, snapshot: &Snapshot) -> Option<OperatorResponse> {
    user.role.serves_chats().then(|| OperatorResponse {
        id: Wire(user.id),
        version: user.version,
        name: user.name.clone(),
        active: user.active,
        capacity: user.capacity,
        queues: snapshot.queues_of(user.id).into_iter().map(Wire).collect(),
        status: None,
    })
}

/// The channel that a request means, over the one that is there.
pub fn channel_from(id: ChannelId, request: &ChannelRequest, former: Option<&Channel>) -> Channel {
    let provider = match request.provider {
        ProviderWord::Internal => Provider::Internal,
        ProviderWord::WebChat => Provider::WebChat,
    };
    Channel {
        version: request.version,
        active: request.active,
        language: request.language.clone(),
        image: request.image.clone(),
        sender: match request.sender {
            SenderWord::Channel => Sender::Channel,
            SenderWord::Operator => Sender::Operator,
        },
        reference: request.reference.clone(),
        retention_days: request.retention_days,
        site_key: former.map_or(0, |former| former.site_key),
        visitor_epoch: former.map_or(0, |former| former.visitor_epoch),
        ..Channel::new(id, &request.name, provider, request.queue.0)
    }
}

/// What a channel looks like. Its site key is shown when it is made, never again.
pub fn channel_response(channel: &Channel) -> ChannelResponse {
    ChannelResponse {
        id: Wire(channel.id),
        channel: ChannelRequest {
            version: channel.version,
            name: channel.name.clone(),
            provider: match channel.provider {
                Provider::Internal => ProviderWord::Internal,
                Provider::WebChat => ProviderWord::WebChat,
            },
            active: channel.active,
            queue: Wire(channel.queue),
            language: channel.language.clone(),
            image: channel.image.clone(),
            sender: match channel.sender {
                Sender::Channel => SenderWord::Channel,
                Sender::Operator => SenderWord::Operator,
            },
            reference: channel.reference.clone(),
            retention_days: channel.retention_days,
        },
        has_site_key: channel.site_key > 0,
    }
}

/// The queue that a request means. Errors when a value is outside of its bounds.
pub fn queue_from(id: QueueId, request: &QueueRequest) -> Result<Queue, ErrorResponse> {
    let priority = Priority::new(request.priority).map_err(|error| {
        ErrorResponse::new(RestErrorKind::InvalidValue, error.to_string()).at("priority")
    })?;
    let queue = Queue {
        version: request.version,
        active: request.active,
        members: request.members.iter().map(|user| user.0).collect(),
        priority,
        offer_timeout_ms: request.offer_timeout_ms,
        per_operator_limit: request.per_operator_limit,
        absent_owner_limit_ms: request.absent_owner_limit_ms,
        ..Queue::new(id, &request.name, request.rule.0)
    };
    queue.check().map_err(|bad| queue_error(&bad))?;
    Ok(queue)
}

/// The answer to a queue that cannot work.
pub(super) fn queue_error(bad: &BadQueue) -> ErrorResponse {
    let field = match bad {
        BadQueue::NoName => "name",
        BadQueue::OfferTimeout { .. } => "offer_timeout_ms",
        BadQueue::TooManyMembers { .. } => "members",
        BadQueue::NoCapacity => "per_operator_limit",
    };
    ErrorResponse::new(RestErrorKind::InvalidValue, bad.to_string()).at(field)
}

/// What a queue looks like.
pub fn queue_response(queue: &Queue) -> QueueResponse {
    QueueResponse {
        id: Wire(queue.id),
        queue: QueueRequest {
            version: queue.version,
            name: queue.name.clone(),
            active: queue.active,
            rule: Wire(queue.rule),
            members: queue.members.iter().copied().map(Wire).collect(),
            priority: queue.priority.points(),
            offer_timeout_ms: queue.offer_timeout_ms,
            per_operator_limit: queue.per_operator_limit,
            absent_owner_limit_ms: queue.absent_owner_limit_ms,
        },
    }
}

/// The reason to be away that a request means.
pub fn reason_from(id: AwayReasonId, request: &AwayReasonRequest) -> ListedReason {
    let (version, active) = (request.version, request.active);
    ListedReason { version, active, ..ListedReason::new(id, &request.name) }
}

/// What a reason to be away looks like.
pub fn reason_response(reason: &ListedReason) -> AwayReasonResponse {
    let (version, name, active) = (reason.version, reason.name.clone(), reason.active);
    let (id, reason) = (Wire(reason.id), AwayReasonRequest { version, name, active });
    AwayReasonResponse { id, reason }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::PasswordHash;
    use crate::domain::Rule;

    #[test]
    fn a_queue_and_a_channel_come_back() {
        let queue = Queue {
            version: 4,
            active: false,
            members: [UserId::from_u128(7)].into(),
            priority: Priority::new(3).unwrap(),
            per_operator_limit: Some(2),
            absent_owner_limit_ms: Some(5),
            ..Queue::new(QueueId::from_u128(1), "Sales", Rule::Manual)
        };
        let response = queue_response(&queue);
        assert_eq!(queue_from(queue.id, &response.queue), Ok(queue));

        let id = ChannelId::from_u128(2);
        let channel = Channel {
            version: 3,
            language: Some("en".into()),
            sender: Sender::Channel,
            site_key: 5,
            visitor_epoch: 6,
            ..Channel::new(id, "Shop", Provider::Internal, QueueId::from_u128(1))
        };
        let response = channel_response(&channel);
        assert!(response.has_site_key);
        let back = channel_from(id, &response.channel, Some(&channel));
        assert_eq!(back, channel);
    }

    #[test]
    fn a_change_of_a_user_keeps_the_password_and_shows_it_to_nobody() {
        let former = User {
            version: 2,
            password: Some(PasswordHash::from_phc("$argon2id$x".into())),
            demo_password: true,
            ..User::new(UserId::from_u128(1), "Anna", "anna", Role::Operator)
        };
        let response = user_response(&former);
        assert!(!format!("{response:?}").contains("argon2id"));
        let request = UserRequest {
            version: response.version,
            name: "Anna P.".into(),
            login: response.login,
            role: response.role,
            active: false,
            capacity: 2,
            password: None,
        };
        let changed = user_from(former.id, &request, Some(&former));
        assert_eq!(changed.password, former.password);
        assert!(changed.demo_password && !changed.active && changed.capacity == 2);
    }

    #[test]
    fn a_value_out_of_bounds_names_its_field() {
        let mut request =
            queue_response(&Queue::new(QueueId::from_u128(1), "x", Rule::ToAll)).queue;
        request.priority = 11;
        let error = queue_from(QueueId::from_u128(1), &request).unwrap_err();
        assert_eq!(error.error.field.as_deref(), Some("priority"));
        request.priority = 1;
        request.offer_timeout_ms = 1;
        let error = queue_from(QueueId::from_u128(1), &request).unwrap_err();
        assert_eq!(error.error.field.as_deref(), Some("offer_timeout_ms"));
        assert_eq!(error.kind(), RestErrorKind::InvalidValue);
    }
}
