//! The OpenAPI document, made from the list of routes and the types of their bodies.

use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use super::error::{ErrorResponse, PROBLEM_TYPE, RestErrorKind};
use super::query::Parameter;
use super::routes::Route;

/// The errors that every route can meet.
pub const COMMON_ERRORS: &[RestErrorKind] = &[
    RestErrorKind::InvalidRequest,
    RestErrorKind::BrokenBody,
    RestErrorKind::Unauthorized,
    RestErrorKind::Forbidden,
    RestErrorKind::MethodNotAllowed,
    RestErrorKind::RequestTimeout,
    RestErrorKind::TooLarge,
    RestErrorKind::UnsupportedMediaType,
    RestErrorKind::Misdirected,
    RestErrorKind::Internal,
    RestErrorKind::Overloaded,
    RestErrorKind::Unavailable,
];

/// The errors that opening a socket can meet.
pub const SOCKET_ERRORS: &[RestErrorKind] = &[
    RestErrorKind::BadHandshake,
    RestErrorKind::Forbidden,
    RestErrorKind::MethodNotAllowed,
    RestErrorKind::Misdirected,
    RestErrorKind::Overloaded,
    RestErrorKind::Unavailable,
];

/// The document.
pub fn openapi() -> Value {
    let settings = SchemaSettings::draft2020_12()
        .with(|settings| settings.definitions_path = "/components/schemas".into());
    let mut generator = settings.into_generator();
    let mut paths = Map::new();
    for route in Route::ALL {
        let item = paths.entry(route.path()).or_insert_with(|| json!({}));
        let verb = route.verb().name().to_lowercase();
        item[verb] = describe(*route, &mut generator);
    }
    paths.insert("/ws".to_owned(), json!({"get": socket()}));
    let error = generator.subschema_for::<ErrorResponse>();
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Switchboard",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Configuration and questions. PUT replaces a document, and resets what is optional and absent; PATCH changes a part of it, by a merge patch (RFC 7396). Chats themselves go over the socket, see GET /protocol.json.",
        },
        "paths": paths,
        "components": {
            "schemas": generator.take_definitions(true),
            "responses": {
                "Error": {
                    "description": "What went wrong (RFC 9457); `name` is for programs.",
                    "content": {PROBLEM_TYPE: {"schema": error}},
                },
            },
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "x-errors": RestErrorKind::ALL.iter().map(|kind| error_row(*kind)).collect::<Vec<_>>(),
    })
}

fn error_row(kind: RestErrorKind) -> Value {
    json!({"name": kind.name(), "status": kind.status(), "meaning": kind.meaning()})
}

fn describe(route: Route, generator: &mut SchemaGenerator) -> Value {
    let callers = route.operation().allowed();
    let open = callers.iter().any(|caller| caller == "nobody");
    let mut success = json!({"description": "Done."});
    if let Some(schema) = route.response(generator) {
        success["content"] = json!({"application/json": {"schema": schema}});
    }
    let errors = COMMON_ERRORS.iter().chain(route.errors());
    let responses = responses((route.status(), success), errors);
    let mut described = json!({
        "operationId": route.id(),
        "summary": route.summary(),
        "parameters": parameters(route),
        "responses": responses,
        "security": if open { json!([]) } else { json!([{"token": []}]) },
        "x-operation": route.operation().name(),
        "x-callers": callers,
        "x-errors": route.errors().iter().map(|kind| kind.name()).collect::<Vec<_>>(),
    });
    if let (Some(schema), Some(media_type)) = (route.request(generator), route.verb().media_type())
    {
        let content = json!({media_type: {"schema": schema}});
        described["requestBody"] = json!({"required": true, "content": content});
    }
    described
}

/// The upgrade to a socket. What is said on it stands in a document of its own.
fn socket() -> Value {
    let success = json!({"description": "The socket is open; see GET /protocol.json."});
    json!({
        "operationId": "OpenSocket",
        "summary": "Opens a socket.",
        "responses": responses((101, success), SOCKET_ERRORS.iter()),
        "security": [],
        "x-errors": SOCKET_ERRORS.iter().map(|kind| kind.name()).collect::<Vec<_>>(),
    })
}

fn responses<'a>(
    (status, success): (u16, Value),
    errors: impl Iterator<Item = &'a RestErrorKind>,
) -> Map<String, Value> {
    let mut responses = Map::from_iter([(status.to_string(), success)]);
    for kind in errors {
        let response = json!({"$ref": "#/components/responses/Error"});
        responses.insert(kind.status().to_string(), response);
    }
    responses
}

fn parameters(route: Route) -> Vec<Value> {
    let id = json!({"type": "string", "format": "uuid"});
    let parts = route.path().split('/');
    let ids = parts.filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    let ids = ids.map(|name| json!({"name": name, "in": "path", "required": true, "schema": id}));
    ids.chain(route.query().map(Parameter::described)).collect()
}
