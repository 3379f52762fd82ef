//! The list of the routes. What the server serves and what the OpenAPI document says are both
//! made from it.

use schemars::{Schema, SchemaGenerator};

use super::audit::AuditEntryResponse;
use super::body::{
    AwayReasonRequest, AwayReasonResponse, ChannelRequest, ChannelResponse, LogInRequest,
    OperatorRequest, OperatorResponse, PageResponse, PasswordRequest, QueueRequest, QueueResponse,
    RefreshRequest, SiteKeyRequest, SiteKeyResponse, TokensResponse, UserRequest, UserResponse,
    VisitorTokenRequest, VisitorTokenResponse, WrittenResponse,
};
use super::chat::{ChatResponse, ChatsResponse, ExplanationResponse};
use super::error::RestErrorKind;
use super::patch::{MERGE_PATCH_TYPE, MergePatch};
use super::query::{self, Parameter};
use crate::domain::rights::Operation;

/// An HTTP method.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verb {
    /// Reads.
    Get,
    /// Creates or acts.
    Post,
    /// Replaces.
    Put,
    /// Changes a part.
    Patch,
    /// Removes.
    Delete,
}

impl Verb {
    /// As it stands in a request.
    pub fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }

    /// The media type of its body; none: it has no body.
    pub fn media_type(self) -> Option<&'static str> {
        match self {
            Self::Post | Self::Put => Some("application/json"),
            // Not what a whole document comes as: who takes one for the other is told.
            Self::Patch => Some(MERGE_PATCH_TYPE),
            Self::Get | Self::Delete => None,
        }
    }
}

/// No body.
pub struct Nothing;

/// A body of a route, perhaps none.
trait Body {
    fn schema(generator: &mut SchemaGenerator) -> Option<Schema>;
}

impl Body for Nothing {
    fn schema(_: &mut SchemaGenerator) -> Option<Schema> {
        None
    }
}

/// Any JSON: the documents themselves.
pub struct AnyDocument;

impl Body for AnyDocument {
    fn schema(_: &mut SchemaGenerator) -> Option<Schema> {
        Some(schemars::json_schema!({"type": "object"}))
    }
}

impl<T: schemars::JsonSchema> Body for T {
    fn schema(generator: &mut SchemaGenerator) -> Option<Schema> {
        Some(generator.subschema_for::<T>())
    }
}

macro_rules! routes {
    ($($(#[doc = $summary:literal])+ $route:ident = $verb:ident $path:literal, $operation:ident,
        $request:ty => $status:literal $response:ty, [$($error:ident),* $(,)?] $(, query $($query:ident)+)?;)*) => {
        /// The routes.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Route {
            $($(#[doc = $summary])+ $route,)*
        }

        impl Route {
            /// All of them, in the order of the documents.
            pub const ALL: &[Self] = &[$(Self::$route),*];

            /// The HTTP method.
            pub fn verb(self) -> Verb {
                match self { $(Self::$route => Verb::$verb),* }
            }

            /// The path, with names in braces.
            pub fn path(self) -> &'static str {
                match self { $(Self::$route => $path),* }
            }

            /// The operation whose rights it needs.
            pub fn operation(self) -> Operation {
                match self { $(Self::$route => Operation::$operation),* }
            }

            /// What it does.
            pub fn summary(self) -> &'static str {
                match self { $(Self::$route => concat!($($summary),+).trim_ascii()),* }
            }

            /// Its id in the document.
            pub fn id(self) -> &'static str {
                match self { $(Self::$route => stringify!($route)),* }
            }

            /// The status of success.
            pub fn status(self) -> u16 {
                match self { $(Self::$route => $status),* }
            }

            /// The errors of its own, beside those that every route can meet.
            pub fn errors(self) -> &'static [RestErrorKind] {
                match self { $(Self::$route => &[$(RestErrorKind::$error),*]),* }
            }

            /// What may stand in its query; nothing else may.
            pub fn query(self) -> impl Iterator<Item = &'static Parameter> {
                let sets: &[&[Parameter]] = match self {
                    $(Self::$route => &[$($(query::$query),+)?]),*
                };
                sets.iter().copied().flatten()
            }

            pub(super) fn request(self, generator: &mut SchemaGenerator) -> Option<Schema> {
                match self { $(Self::$route => <$request as Body>::schema(generator)),* }
            }

            pub(super) fn response(self, generator: &mut SchemaGenerator) -> Option<Schema> {
                match self { $(Self::$route => <$response as Body>::schema(generator)),* }
            }
        }
    };
}

routes! {
    /// Logs in.
    LogIn = Post "/api/v1/sessions", SessionsLogIn, LogInRequest => 201 TokensResponse, [Credentials, Throttled];
    /// Gets the next tokens for a refresh token, which works once.
    Refresh = Post "/api/v1/sessions/refresh", SessionsRefresh, RefreshRequest => 200 TokensResponse, [];
    /// Logs out: ends the session of the token and its sockets.
    LogOut = Delete "/api/v1/sessions/current", SessionsLogOut, Nothing => 204 Nothing, [];

    /// Issues a visitor's token.
    IssueVisitorToken = Post "/api/v1/channels/{channel}/visitor-tokens", VisitorTokensIssue, VisitorTokenRequest => 201 VisitorTokenResponse, [NotFound, InvalidValue];
    /// Revokes all tokens of a customer on a channel's site, and closes its sockets. A channel has 10,000 customers at most who were revoked within 120 days, the erased among them: one more is `too_many`, one of them again is not.
    RevokeVisitorTokens = Delete "/api/v1/channels/{channel}/visitor-tokens/{customer}", VisitorTokensRevoke, Nothing => 204 Nothing, [NotFound, TooMany];

    /// Erases a customer for good: ends its open chats, revokes its tokens, forgets every chat. A repeat is harmless. Only with 100,000 customers of the channel who were revoked within 120 days it is `too_many`, and nothing is done.
    EraseCustomer = Delete "/api/v1/channels/{channel}/customers/{customer}", CustomersErase, Nothing => 204 Nothing, [NotFound, TooMany];

    /// Lists users.
    ListUsers = Get "/api/v1/users", UsersRead, Nothing => 200 PageResponse<UserResponse>, [],
        query PAGE ACTIVE_ONES OF_ROLE;
    /// Creates a user.
    CreateUser = Post "/api/v1/users", UsersCreate, UserRequest => 201 WrittenResponse, [LoginTaken, InvalidValue, Routing, TooMany],
        query DRY_RUN;
    /// Reads a user.
    ReadUser = Get "/api/v1/users/{user}", UsersRead, Nothing => 200 UserResponse, [NotFound];
    /// Changes or deactivates a user; replaces all but a password that is not given.
    ChangeUser = Put "/api/v1/users/{user}", UsersChange, UserRequest => 200 WrittenResponse, [NotFound, VersionConflict, LoginTaken, LastAdministrator, DemoPassword, InvalidValue, Routing],
        query DRY_RUN;
    /// Changes a part of a user; what the patch does not name stays.
    PatchUser = Patch "/api/v1/users/{user}", UsersChange, MergePatch<UserRequest> => 200 WrittenResponse, [NotFound, VersionConflict, LoginTaken, LastAdministrator, DemoPassword, InvalidValue, Routing],
        query DRY_RUN;
    /// Sets a user's password and ends its sessions.
    SetPassword = Put "/api/v1/users/{user}/password", UsersSetPassword, PasswordRequest => 204 Nothing, [NotFound, VersionConflict, Credentials, Throttled, InvalidValue];

    /// Lists operators.
    ListOperators = Get "/api/v1/operators", OperatorsRead, Nothing => 200 PageResponse<OperatorResponse>, [],
        query PAGE ACTIVE_ONES MEMBERS_OF;
    /// Reads an operator.
    ReadOperator = Get "/api/v1/operators/{operator}", OperatorsRead, Nothing => 200 OperatorResponse, [NotFound];
    /// Changes the limit of an operator.
    ChangeOperator = Put "/api/v1/operators/{operator}", OperatorsChange, OperatorRequest => 200 WrittenResponse, [NotFound, VersionConflict, InvalidValue],
        query DRY_RUN;

    /// Lists channels.
    ListChannels = Get "/api/v1/channels", ChannelsRead, Nothing => 200 PageResponse<ChannelResponse>, [],
        query PAGE ACTIVE_ONES OF_QUEUE;
    /// Creates a channel.
    CreateChannel = Post "/api/v1/channels", ChannelsCreate, ChannelRequest => 201 WrittenResponse, [InvalidValue, Routing, TooMany],
        query DRY_RUN;
    /// Reads a channel.
    ReadChannel = Get "/api/v1/channels/{channel}", ChannelsRead, Nothing => 200 ChannelResponse, [NotFound];
    /// Changes or deactivates a channel; replaces it, so that what is optional and absent is reset.
    ChangeChannel = Put "/api/v1/channels/{channel}", ChannelsChange, ChannelRequest => 200 WrittenResponse, [NotFound, VersionConflict, InvalidValue, Routing],
        query DRY_RUN;
    /// Changes a part of a channel; what the patch does not name stays.
    PatchChannel = Patch "/api/v1/channels/{channel}", ChannelsChange, MergePatch<ChannelRequest> => 200 WrittenResponse, [NotFound, VersionConflict, InvalidValue, Routing],
        query DRY_RUN;
    /// Deletes an inactive channel that never had a chat; `version` in the query.
    DeleteChannel = Delete "/api/v1/channels/{channel}", ChannelsDelete, Nothing => 204 Nothing, [NotFound, VersionConflict, InUse],
        query SEEN DRY_RUN;
    /// Makes the site key of a channel anew.
    NewSiteKey = Post "/api/v1/channels/{channel}/site-key", ChannelsSiteKey, SiteKeyRequest => 201 SiteKeyResponse, [NotFound, VersionConflict];

    /// Lists queues.
    ListQueues = Get "/api/v1/queues", QueuesRead, Nothing => 200 PageResponse<QueueResponse>, [],
        query PAGE ACTIVE_ONES OF_RULE;
    /// Creates a queue.
    CreateQueue = Post "/api/v1/queues", QueuesCreate, QueueRequest => 201 WrittenResponse, [InvalidValue, Routing, TooMany],
        query DRY_RUN;
    /// Reads a queue.
    ReadQueue = Get "/api/v1/queues/{queue}", QueuesRead, Nothing => 200 QueueResponse, [NotFound];
    /// Changes or deactivates a queue; replaces it, so that what is optional and absent is reset.
    ChangeQueue = Put "/api/v1/queues/{queue}", QueuesChange, QueueRequest => 200 WrittenResponse, [NotFound, VersionConflict, InvalidValue, Routing],
        query DRY_RUN;
    /// Changes a part of a queue; what the patch does not name stays.
    PatchQueue = Patch "/api/v1/queues/{queue}", QueuesChange, MergePatch<QueueRequest> => 200 WrittenResponse, [NotFound, VersionConflict, InvalidValue, Routing],
        query DRY_RUN;
    /// Deletes an inactive queue without open chats; `version` in the query.
    DeleteQueue = Delete "/api/v1/queues/{queue}", QueuesDelete, Nothing => 204 Nothing, [NotFound, VersionConflict, InUse, Routing],
        query SEEN DRY_RUN;

    /// Lists the reasons to be away. Where one is active, an operator is away for one of these or for none.
    ListAwayReasons = Get "/api/v1/away-reasons", AwayReasonsRead, Nothing => 200 PageResponse<AwayReasonResponse>, [],
        query PAGE ACTIVE_ONES;
    /// Creates a reason to be away.
    CreateAwayReason = Post "/api/v1/away-reasons", AwayReasonsCreate, AwayReasonRequest => 201 WrittenResponse, [InvalidValue, TooMany],
        query DRY_RUN;
    /// Reads a reason to be away.
    ReadAwayReason = Get "/api/v1/away-reasons/{away_reason}", AwayReasonsRead, Nothing => 200 AwayReasonResponse, [NotFound];
    /// Changes or deactivates a reason to be away.
    ChangeAwayReason = Put "/api/v1/away-reasons/{away_reason}", AwayReasonsChange, AwayReasonRequest => 200 WrittenResponse, [NotFound, VersionConflict, InvalidValue],
        query DRY_RUN;
    /// Changes a part of a reason to be away; what the patch does not name stays.
    PatchAwayReason = Patch "/api/v1/away-reasons/{away_reason}", AwayReasonsChange, MergePatch<AwayReasonRequest> => 200 WrittenResponse, [NotFound, VersionConflict, InvalidValue],
        query DRY_RUN;
    /// Deletes an inactive reason to be away; `version` in the query. Whoever is away for it stays so.
    DeleteAwayReason = Delete "/api/v1/away-reasons/{away_reason}", AwayReasonsDelete, Nothing => 204 Nothing, [NotFound, VersionConflict, InUse],
        query SEEN DRY_RUN;

    /// Lists chats by when they were opened; no texts. Of `customer`, `operator`, `queue` and `channel` the first one given says which list is read, the others and `state` are looked at in it. A page reads 2,000 chats at most, and may have fewer entries than `limit`, or none: go on while there is a `next`. An operator is listed the chats that it owns, or owned when they ended; a customer its own.
    ListChats = Get "/api/v1/chats", ChatsRead, Nothing => 200 ChatsResponse, [],
        query CHATS;
    /// Says where a chat is; no texts.
    ReadChat = Get "/api/v1/chats/{chat}", ChatsRead, Nothing => 200 ChatResponse, [NotFound];
    /// Says why a chat waits, and why it went where it went.
    ExplainChat = Get "/api/v1/chats/{chat}/explanation", ChatsExplain, Nothing => 200 ExplanationResponse, [NotFound];

    /// Reads who changed what, who came in and who tried to; the newest first. A page may have fewer entries than `limit`, or none: go on while there is a `next`.
    ReadAudit = Get "/api/v1/audit", AuditRead, Nothing => 200 PageResponse<AuditEntryResponse>, [],
        query TRAIL;

    /// This document.
    OpenApi = Get "/openapi.json", DocumentsRead, Nothing => 200 AnyDocument, [];
    /// The document of the socket protocol.
    SocketProtocol = Get "/protocol.json", DocumentsRead, Nothing => 200 AnyDocument, [];
}
