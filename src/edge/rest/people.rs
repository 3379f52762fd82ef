//! Users, their passwords, and operators with their limits.

use super::Answer;
use super::asked::{Asked, absent, not_found};
use super::resource::Resource;
use super::sessions::in_time;
use crate::access::Attempt;
use crate::catalog::{Snapshot, User};
use crate::domain::{QueueId, UserId};
use crate::edge::{
    access_error, catalog_error, operator_response, user_from, user_request, user_response,
};
use crate::protocol::answer::StatusFrame;
use crate::protocol::rest::body::{
    OperatorRequest, OperatorResponse, PasswordRequest, Secret, UserRequest, UserResponse,
};
use crate::protocol::rest::{ErrorResponse, RestErrorKind};

/// Users.
pub(super) struct Users;

impl Resource for Users {
    type Entity = User;
    type Request = UserRequest;
    type Response = UserResponse;

    const ID: &'static str = "user";

    fn version(request: &UserRequest) -> u64 {
        request.version
    }

    fn present(user: &User) -> UserRequest {
        user_request(user)
    }

    fn shown(user: &User, _: &Snapshot) -> Option<UserResponse> {
        Some(user_response(user))
    }

    fn is_own(asked: &Asked, id: UserId) -> bool {
        asked.user() == Some(id)
    }

    fn fits(user: &User, _: &Snapshot, name: &str, value: &str) -> bool {
        match name {
            "active" => user.active.to_string() == value,
            "role" => user.role.word() == value,
            _ => true,
        }
    }

    async fn meant(
        asked: &Asked,
        id: UserId,
        mut request: UserRequest,
        former: Option<&User>,
    ) -> Result<User, ErrorResponse> {
        let password = request.password.take();
        with_password(asked, user_from(id, &request, former), password).await
    }
}

/// Operators: the users who serve chats, as a transfer and a limit need them.
pub(super) struct Operators;

impl Resource for Operators {
    type Entity = User;
    type Request = OperatorRequest;
    type Response = OperatorResponse;

    const ID: &'static str = "operator";

    fn version(request: &OperatorRequest) -> u64 {
        request.version
    }

    fn present(user: &User) -> OperatorRequest {
        OperatorRequest { version: user.version, capacity: user.capacity }
    }

    fn shown(user: &User, snapshot: &Snapshot) -> Option<OperatorResponse> {
        operator_response(user, snapshot)
    }

    async fn complete(asked: &Asked, operator: &mut OperatorResponse) {
        let known = asked.edge.router.known_operator(operator.id.0).await;
        operator.status = known.map(|view| StatusFrame::from(&view.record.status));
    }

    fn fits(user: &User, snapshot: &Snapshot, name: &str, value: &str) -> bool {
        match name {
            "active" => user.active.to_string() == value,
            "queue" => {
                let queue = uuid::Uuid::parse_str(value).ok();
                let queue = queue.and_then(|queue| snapshot.queue(QueueId(queue)));
                queue.is_some_and(|queue| queue.members.contains(&user.id))
            }
            _ => true,
        }
    }

    async fn meant(
        _: &Asked,
        _: UserId,
        request: OperatorRequest,
        former: Option<&User>,
    ) -> Result<User, ErrorResponse> {
        let user = former.filter(|user| user.role.serves_chats()).ok_or_else(not_found)?;
        Ok(User { version: request.version, capacity: request.capacity, ..user.clone() })
    }
}

pub(super) async fn set_password(asked: &Asked) -> Answer {
    let is_own = |id: &UserId| asked.user() == Some(*id);
    let id = asked.id("user", UserId, is_own)?;
    let request: PasswordRequest = asked.body()?;
    let snapshot = asked.edge.catalog.snapshot();
    let user = User::clone(snapshot.user(id).ok_or_else(absent(&snapshot, id))?);
    if is_own(&id) {
        let current = request.current.ok_or_else(|| {
            let what = "your own password is changed with the present one";
            ErrorResponse::new(RestErrorKind::InvalidValue, what).at("current")
        })?;
        let attempt = Attempt {
            login: &user.login,
            password: current.0,
            device_mark: request.device_mark.as_ref().map(|secret| secret.0.as_str()),
            address: asked.client.ip(),
        };
        in_time(asked.edge.access.prove(attempt, asked.edge.now()).await).await?;
    }
    let user = hashed(asked, user, request.password).await?;
    let put = asked.edge.catalog.put(user, &asked.act()?).await;
    put.map_err(|error| catalog_error(&error))?;
    Ok(None)
}

/// With the password that somebody else gives it. One's own is set in one way only, which asks for
/// the present one: else whoever has a session for a moment has the account for good.
async fn with_password(
    asked: &Asked,
    user: User,
    password: Option<Secret>,
) -> Result<User, ErrorResponse> {
    match password {
        None => Ok(user),
        Some(_) if asked.user() == Some(user.id) => {
            let what = "your own password is changed with the present one, by \
                        PUT /api/v1/users/{user}/password";
            Err(ErrorResponse::new(RestErrorKind::InvalidValue, what).at("password"))
        }
        Some(password) => hashed(asked, user, password).await,
    }
}

async fn hashed(asked: &Asked, mut user: User, password: Secret) -> Result<User, ErrorResponse> {
    let hash = asked.edge.access.new_password_of(&user, password.0).await;
    user.password = Some(hash.map_err(|error| access_error(&error))?);
    Ok(user)
}
