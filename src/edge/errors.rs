//! Errors of the layers below as answers. Texts of inner failures stay inside: they go to the log.

use super::bodies::queue_error;
use super::limits::{HASH_RETRY_MS, STORE_RETRY_MS};
use crate::access::{AccessError, Invalid, Lost, PasswordError};
use crate::catalog::{BadChannel, BadUser, CatalogError};
use crate::domain::rights::Forbidden;
use crate::protocol::rest::{ErrorResponse, RestErrorKind};
use crate::protocol::{CloseKind, ErrorFrame, ErrorKind};
use crate::storage::StoreError;

/// The answer to a token that does not count, on the socket.
pub fn frame_of(invalid: Invalid) -> ErrorFrame {
    ErrorFrame::new(ErrorKind::Unauthorized, invalid.to_string())
}

/// Why a socket is closed whose token no longer counts.
pub fn close_of(invalid: Invalid) -> CloseKind {
    match invalid {
        Invalid::Expired => CloseKind::TokenExpired,
        Invalid::Revoked | Invalid::Token => CloseKind::TokenRevoked,
    }
}

/// The answer to who may not do it.
pub fn forbidden(forbidden: &Forbidden) -> ErrorResponse {
    ErrorResponse::new(RestErrorKind::Forbidden, forbidden.to_string())
}

/// The answer when the store failed.
pub fn store_error(error: &StoreError) -> ErrorResponse {
    match error {
        StoreError::Unavailable { .. } | StoreError::Silent { .. } => {
            ErrorResponse::of(RestErrorKind::Unavailable).after(STORE_RETRY_MS)
        }
        StoreError::Damaged { .. } => ErrorResponse::of(RestErrorKind::Internal),
        // Version 0 means that there is none: it was deleted meanwhile, or never was.
        StoreError::VersionConflict { found: 0, .. } | StoreError::Forgotten { .. } => {
            ErrorResponse::of(RestErrorKind::NotFound)
        }
        StoreError::VersionConflict { found, .. } => {
            ErrorResponse::new(RestErrorKind::VersionConflict, error.to_string()).found(*found)
        }
    }
}

/// The answer to who may not do it any more.
pub fn lost_error(lost: &Lost) -> ErrorResponse {
    match lost {
        Lost::Invalid(invalid) => {
            ErrorResponse::new(RestErrorKind::Unauthorized, invalid.to_string())
        }
        Lost::Forbidden(no) => forbidden(no),
    }
}

/// The answer when the catalog does not change.
pub fn catalog_error(error: &CatalogError) -> ErrorResponse {
    let answer = |kind| ErrorResponse::new(kind, error.to_string());
    let value = |field| answer(RestErrorKind::InvalidValue).at(field);
    match error {
        CatalogError::User(bad) => value(match bad {
            BadUser::Name => "name",
            BadUser::Login => "login",
            BadUser::Capacity { .. } => "capacity",
        }),
        CatalogError::Channel(bad) => value(match bad {
            BadChannel::Name => "name",
            BadChannel::Language => "language",
            BadChannel::Image => "image",
            BadChannel::Reference => "reference",
            BadChannel::RetentionDays => "retention_days",
        }),
        CatalogError::Queue(bad) => queue_error(bad),
        CatalogError::Name(_) => value("name"),
        CatalogError::QueueName | CatalogError::Reason(_) => value("name"),
        CatalogError::AbsentOwnerLimit => value("absent_owner_limit_ms"),
        CatalogError::Lint(_) => answer(RestErrorKind::Routing),
        CatalogError::LoginTaken => answer(RestErrorKind::LoginTaken).at("login"),
        CatalogError::LastAdministrator => answer(RestErrorKind::LastAdministrator),
        CatalogError::DemoPassword => answer(RestErrorKind::DemoPassword).at("password"),
        CatalogError::TooMany { .. } => answer(RestErrorKind::TooMany),
        CatalogError::NotFound => ErrorResponse::of(RestErrorKind::NotFound),
        CatalogError::Unread => answer(RestErrorKind::Internal),
        CatalogError::StillActive | CatalogError::InUse => answer(RestErrorKind::InUse),
        CatalogError::Lost(lost) => lost_error(lost),
        CatalogError::Store(error) => store_error(error),
    }
}

/// The answer to who is not let in.
pub fn access_error(error: &AccessError) -> ErrorResponse {
    let answer = |kind| ErrorResponse::new(kind, error.to_string());
    match error {
        AccessError::Invalid(_) => answer(RestErrorKind::Unauthorized),
        AccessError::Credentials => answer(RestErrorKind::Credentials),
        AccessError::Throttled(throttled) => {
            answer(RestErrorKind::Throttled).after(throttled.retry_after_ms)
        }
        AccessError::Password(
            PasswordError::Length | PasswordError::Common | PasswordError::Published,
        ) => answer(RestErrorKind::InvalidValue).at("password"),
        AccessError::Password(PasswordError::Busy) => {
            answer(RestErrorKind::Overloaded).after(HASH_RETRY_MS)
        }
        AccessError::Password(PasswordError::Hash { .. }) | AccessError::Making { .. } => {
            ErrorResponse::of(RestErrorKind::Internal)
        }
        AccessError::NoChannel { .. } => answer(RestErrorKind::NotFound).at("channel"),
        AccessError::VisitorName(_) => answer(RestErrorKind::InvalidValue).at("name"),
        AccessError::TooManyRevoked => answer(RestErrorKind::TooMany),
        AccessError::Forbidden(no) => forbidden(no),
        AccessError::Catalog(error) => catalog_error(error),
        AccessError::Store(error) => store_error(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_inside_stays_inside() {
        let secret = || "disk /dev/sda1 of host 7".to_owned();
        let errors = [
            access_error(&AccessError::Making { reason: secret() }),
            access_error(&AccessError::Password(PasswordError::Hash { reason: secret() })),
            store_error(&StoreError::Unavailable { reason: secret() }),
            store_error(&StoreError::Damaged { reason: secret() }),
        ];
        for error in errors {
            assert!(!error.error.detail.contains("sda1"), "{error:?}");
        }
    }

    #[test]
    fn a_conflict_tells_the_present_version_and_a_deletion_is_not_found() {
        let conflict = |found| store_error(&StoreError::VersionConflict { expected: 2, found });
        assert_eq!(conflict(5).error.found, Some(5));
        assert_eq!(conflict(5).kind(), RestErrorKind::VersionConflict);
        assert_eq!(conflict(0).kind(), RestErrorKind::NotFound);
    }

    #[test]
    fn who_was_revoked_logs_in_and_who_expired_renews() {
        use crate::protocol::AfterClose;
        assert_eq!(close_of(Invalid::Expired).then(), AfterClose::Renew);
        assert_eq!(close_of(Invalid::Revoked).then(), AfterClose::LogIn);
    }
}
