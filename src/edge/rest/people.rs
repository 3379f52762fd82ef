//! Users, their passwords, and operators with their limits.

use super::Answer;
use super::asked::{Asked, absent, is_new, json, new_id, not_ahead, not_found, written};
use super::sessions::in_time;
use crate::access::Attempt;
use crate::catalog::User;
use crate::domain::UserId;
use crate::domain::rights::Right;
use crate::edge::{
    access_error, catalog_error, operator_response, user_from, user_request, user_response,
};
use crate::protocol::answer::StatusFrame;
use crate::protocol::rest::body::{
    OperatorRequest, OperatorResponse, PasswordRequest, Secret, UserRequest,
};
use crate::protocol::rest::{ErrorResponse, MergePatch, RestErrorKind};

pub(super) fn list_users(asked: &Asked) -> Answer {
    let snapshot = asked.edge.catalog.snapshot();
    let (all, own) = (asked.right() == Right::Yes, asked.user());
    let users = snapshot.users().filter(|user| all || Some(user.id) == own);
    json(&asked.page(users, |user| user.id.0, |user| Some(user_response(user)))?)
}

pub(super) async fn create_user(asked: &Asked) -> Answer {
    let mut request: UserRequest = asked.body()?;
    is_new(request.version)?;
    let id = new_id();
    let password = request.password.take();
    let user = user_from(UserId(id), &request, None);
    let user = with_password(asked, user, password).await?;
    let put = asked.edge.catalog.put(user, &asked.act()?).await;
    written(id, &put.map_err(|error| catalog_error(&error))?)
}

pub(super) fn read_user(asked: &Asked) -> Answer {
    let id = UserId(asked.id("user")?);
    asked.permit(asked.user() == Some(id))?;
    let snapshot = asked.edge.catalog.snapshot();
    json(&user_response(snapshot.user(id).ok_or_else(absent(&snapshot, id))?))
}

pub(super) async fn change_user(asked: &Asked) -> Answer {
    let id = UserId(asked.id("user")?);
    let request: UserRequest = asked.body()?;
    let snapshot = asked.edge.catalog.snapshot();
    replace(asked, snapshot.user(id).ok_or_else(absent(&snapshot, id))?, request).await
}

pub(super) async fn patch_user(asked: &Asked) -> Answer {
    let id = UserId(asked.id("user")?);
    let patch: MergePatch<UserRequest> = asked.body()?;
    let snapshot = asked.edge.catalog.snapshot();
    let former = snapshot.user(id).ok_or_else(absent(&snapshot, id))?;
    let request = patch.over(&user_request(former))?;
    not_ahead(request.version, former.version)?;
    replace(asked, former, request).await
}

async fn replace(asked: &Asked, former: &User, mut request: UserRequest) -> Answer {
    let password = request.password.take();
    let user = user_from(former.id, &request, Some(former));
    let user = with_password(asked, user, password).await?;
    let put = asked.edge.catalog.put(user, &asked.act()?).await;
    written(former.id.0, &put.map_err(|error| catalog_error(&error))?)
}

pub(super) async fn set_password(asked: &Asked) -> Answer {
    let id = UserId(asked.id("user")?);
    let own = asked.user() == Some(id);
    asked.permit(own)?;
    let request: PasswordRequest = asked.body()?;
    let snapshot = asked.edge.catalog.snapshot();
    let user = User::clone(snapshot.user(id).ok_or_else(absent(&snapshot, id))?);
    if own {
        let current = request.current.ok_or_else(|| {
            let what = "your own password is changed with the present one";
            ErrorResponse::new(RestErrorKind::InvalidValue, what).at("current")
        })?;
        let attempt = Attempt {
            login: &user.login,
            password: current.0,
            device_mark: request.device_mark.as_ref().map(|mark| mark.0.as_str()),
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

pub(super) async fn list_operators(asked: &Asked) -> Answer {
    let snapshot = asked.edge.catalog.snapshot();
    let shown = |user: &std::sync::Arc<User>| operator_response(user, &snapshot);
    let mut page = asked.page(snapshot.users(), |user| user.id.0, shown)?;
    for operator in &mut page.items {
        add_status(asked, operator).await;
    }
    json(&page)
}

pub(super) async fn read_operator(asked: &Asked) -> Answer {
    let id = UserId(asked.id("operator")?);
    let snapshot = asked.edge.catalog.snapshot();
    let user = snapshot.user(id).ok_or_else(absent(&snapshot, id))?;
    let mut operator = operator_response(user, &snapshot).ok_or_else(not_found)?;
    add_status(asked, &mut operator).await;
    json(&operator)
}

async fn add_status(asked: &Asked, operator: &mut OperatorResponse) {
    let known = asked.edge.router.known_operator(operator.id.0).await;
    operator.status = known.map(|view| StatusFrame::from(&view.record.status));
}

pub(super) async fn change_operator(asked: &Asked) -> Answer {
    let id = UserId(asked.id("operator")?);
    let request: OperatorRequest = asked.body()?;
    let snapshot = asked.edge.catalog.snapshot();
    let user = snapshot.user(id).filter(|user| user.role.serves_chats());
    let mut user = User::clone(user.ok_or_else(not_found)?);
    user.version = request.version;
    user.capacity = request.capacity;
    let put = asked.edge.catalog.put(user, &asked.act()?).await;
    written(id.0, &put.map_err(|error| catalog_error(&error))?)
}
