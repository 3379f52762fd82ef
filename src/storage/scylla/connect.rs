//! Reaching the database, and why that may fail.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use scylla::client::execution_profile::ExecutionProfile;
use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;
use scylla::errors::{
    ConnectionError, ConnectionPoolError, ConnectionSetupRequestErrorKind, DbError, ExecutionError,
    MetadataError, NewSessionError, PrepareError, RequestAttemptError,
};
use scylla::statement::Consistency;
use tokio::time::timeout;

use super::limits::{KEEPALIVE_EVERY, KEEPALIVE_MAX, KEYSPACE_NAME_MAX, SCHEMA_CHANGE_MAX};
use super::profiles::{Profiles, nodes};
use super::{ConsistencyOf, ScyllaOptions, Statements};

/// Why the store cannot be opened. Each says what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// The options cannot be.
    #[error("the settings of the store: {what}")]
    Options {
        /// What is wrong with them.
        what: String,
    },
    /// Nobody answers.
    #[error(
        "cannot connect to the database at {points}: {what}; start it, or set store.contact_points, \
         store.user, store.password and store.tls_ca to what it wants"
    )]
    Unreachable {
        /// Whom it asked.
        points: String,
        /// What the driver says.
        what: String,
    },
    /// The database does not let this process in.
    #[error(
        "the database at {points} refuses the login: {what}; set store.user and \
         SWITCHBOARD_STORE_PASSWORD to what it knows"
    )]
    LoginRefused {
        /// Whom it asked.
        points: String,
        /// What the database says.
        what: String,
    },
    /// The login may not do what is needed.
    #[error(
        "the database forbids it: {what}; grant {user} SELECT and MODIFY on the keyspace {keyspace}, \
         for `switchboard schema apply` CREATE and ALTER as well"
    )]
    Forbidden {
        /// Which keyspace.
        keyspace: String,
        /// The login.
        user: String,
        /// What the database says.
        what: String,
    },
    /// Another process owns the keyspace.
    #[error("{holder} owns the keyspace {keyspace}; stop it first")]
    Owned {
        /// Which keyspace.
        keyspace: String,
        /// Who.
        holder: String,
    },
    /// The last owner asked other replicas.
    #[error(
        "the keyspace {keyspace} was written with the agreement of `{theirs}`, and the settings ask \
         `{mine}`, which may lack some of it: set store.datacentre and store.consistency as they \
         were, or see \"Another datacentre\" in docs/scylladb.md"
    )]
    OtherHome {
        /// Which keyspace.
        keyspace: String,
        /// Of whom.
        theirs: String,
        /// Of whom this process would.
        mine: String,
    },
    /// The last owner wrote far in the future, as its clock was wrong.
    #[error(
        "the keyspace {keyspace} was written by a clock {ahead_h} h ahead of this machine's, and \
         whatever is written now must be later still, until the database refuses it: check this \
         machine's clock; if it is right, move to a new keyspace with `switchboard store export` \
         and `store import`, see \"A clock that was wrong\" in docs/scylladb.md"
    )]
    WrittenAhead {
        /// Which keyspace.
        keyspace: String,
        /// By how much, hours.
        ahead_h: u64,
    },
    /// This machine and the database disagree about the time.
    #[error(
        "this machine's clock is {apart_h} h {direction} the database's, and it dates what is \
         written: set the wrong one, and start again"
    )]
    ClocksApart {
        /// By how much, hours.
        apart_h: u64,
        /// `ahead of` or `behind`.
        direction: &'static str,
    },
    /// There is no such keyspace.
    #[error("there is no keyspace {keyspace}; make it with `switchboard schema apply`")]
    NoKeyspace {
        /// Which.
        keyspace: String,
    },
    /// The schema lacks a step.
    #[error("the keyspace {keyspace} lacks the step {step}; run `switchboard schema apply`")]
    MissingStep {
        /// Which keyspace.
        keyspace: String,
        /// The first step that is missing.
        step: String,
    },
    /// The schema has a step that this release does not know.
    #[error(
        "the keyspace {keyspace} has the step {step} of a newer release: \
         run the release that made it, or a newer one"
    )]
    NewerStep {
        /// Which keyspace.
        keyspace: String,
        /// The step.
        step: String,
    },
    /// The keyspace is there and does not do.
    #[error("the keyspace {keyspace} cannot be used: {what}")]
    Unusable {
        /// Which.
        keyspace: String,
        /// What the driver or the database says.
        what: String,
    },
}

impl OpenError {
    /// Whether it may pass by itself, as a database that is starting does. The others need
    /// somebody.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Unusable { .. } | Self::LoginRefused { .. } => true,
            Self::Options { .. }
            | Self::Forbidden { .. }
            | Self::Owned { .. }
            | Self::OtherHome { .. }
            | Self::WrittenAhead { .. }
            | Self::ClocksApart { .. }
            | Self::NoKeyspace { .. }
            | Self::MissingStep { .. }
            | Self::NewerStep { .. } => false,
        }
    }
}

fn wrong(what: impl Into<String>) -> OpenError {
    OpenError::Options { what: what.into() }
}

/// Connects to the database, whatever keyspaces it has.
pub(super) async fn connect(options: &ScyllaOptions) -> Result<Session, OpenError> {
    check_name(&options.keyspace)?;
    if options.contact_points.is_empty() {
        return Err(wrong("store.contact_points names nobody; give it at least one host:port"));
    }
    if options.consistency == ConsistencyOf::Datacentre && options.datacentre.is_empty() {
        let what = "store.datacentre is empty: name the one whose replicas are to agree, or set \
                    store.consistency to \"quorum\"";
        return Err(wrong(what));
    }
    // What is not said by a statement's own profile: the schema, its changes and their notes.
    let profile = ExecutionProfile::builder()
        .request_timeout(Some(SCHEMA_CHANGE_MAX))
        .consistency(match options.consistency {
            ConsistencyOf::Datacentre => Consistency::LocalQuorum,
            ConsistencyOf::Cluster => Consistency::Quorum,
        })
        .load_balancing_policy(nodes(&options.datacentre))
        .build();
    let mut builder = SessionBuilder::new()
        .known_nodes(&options.contact_points)
        .connection_timeout(options.connect_limit)
        .schema_agreement_timeout(SCHEMA_CHANGE_MAX)
        .keepalive_interval(KEEPALIVE_EVERY)
        .keepalive_timeout(KEEPALIVE_MAX)
        .default_execution_profile_handle(profile.into_handle());
    if let Some(login) = &options.login {
        builder = builder.user(&login.user, &login.password);
    }
    if let Some(file) = &options.tls_ca {
        builder = builder.tls_context(Some(Arc::new(tls(file)?)));
    }
    let unreachable =
        |what: String| OpenError::Unreachable { points: options.contact_points.join(", "), what };
    let all = opening_max(options);
    let session = match timeout(all, builder.build()).await {
        Ok(Ok(session)) => session,
        Ok(Err(error)) => {
            return Err(match refused(&error) {
                Some(what) => {
                    let points = options.contact_points.join(", ");
                    OpenError::LoginRefused { points, what }
                }
                None => unreachable(error.to_string()),
            });
        }
        Err(_) => return Err(unreachable(format!("no answer within {} s", all.as_secs()))),
    };
    check_datacentre(&session, &options.datacentre)?;
    Ok(session)
}

/// How long a step of the opening may take. Some nodes may hang, and each has the limit for itself.
fn opening_max(options: &ScyllaOptions) -> Duration {
    options.connect_limit.saturating_mul(CONNECT_ROUNDS)
}

/// What the database says when it knows this process not, or otherwise.
fn refused(error: &NewSessionError) -> Option<String> {
    let NewSessionError::MetadataError(MetadataError::ConnectionPoolError(
        ConnectionPoolError::Broken {
            last_connection_error: ConnectionError::ConnectionSetupRequestError(setup),
        },
    )) = error
    else {
        return None;
    };
    match setup.get_error() {
        ConnectionSetupRequestErrorKind::DbError(DbError::AuthenticationError, why) => {
            Some(why.clone())
        }
        ConnectionSetupRequestErrorKind::MissingAuthentication => {
            Some("it wants a login and got none".to_owned())
        }
        _ => None,
    }
}

/// A name that no node has would leave nobody to ask.
fn check_datacentre(session: &Session, wanted: &str) -> Result<(), OpenError> {
    let state = session.get_cluster_state();
    let nodes = state.get_nodes_info().iter();
    let names: BTreeSet<&str> = nodes.filter_map(|node| node.datacenter.as_deref()).collect();
    if wanted.is_empty() || names.contains(wanted) {
        return Ok(());
    }
    let there = names.into_iter().collect::<Vec<_>>().join(", ");
    Err(wrong(format!("store.datacentre: the database has no `{wanted}`; it has {there}")))
}

/// Prepares all statements.
pub(super) async fn prepare(
    session: &Session,
    profiles: &Profiles,
    options: &ScyllaOptions,
) -> Result<Statements, OpenError> {
    let keyspace = || options.keyspace.clone();
    let all = opening_max(options);
    let prepared = timeout(all, Statements::prepare(session, profiles, &options.keyspace)).await;
    match prepared {
        Ok(Ok(statements)) => Ok(statements),
        Ok(Err(error)) => Err(unusable(&ExecutionError::PrepareError(error), options)),
        Err(_) => {
            let what = format!("a node did not answer within {} s", all.as_secs());
            Err(OpenError::Unusable { keyspace: keyspace(), what })
        }
    }
}

/// Why the keyspace cannot be used: a right that is missing, or whatever else.
pub(super) fn unusable(error: &ExecutionError, options: &ScyllaOptions) -> OpenError {
    let keyspace = options.keyspace.clone();
    match forbidden(error) {
        Some(what) => {
            let user = options.login.as_ref().map_or("everybody", |login| &login.user).to_owned();
            OpenError::Forbidden { keyspace, user, what: what.to_owned() }
        }
        None => OpenError::Unusable { keyspace, what: error.to_string() },
    }
}

/// What the database says when this login lacks a right. Some servers say it when a statement is
/// prepared, others when it is executed.
fn forbidden(error: &ExecutionError) -> Option<&str> {
    let (ExecutionError::LastAttemptError(attempt)
    | ExecutionError::PrepareError(PrepareError::AllAttemptsFailed { first_attempt: attempt })) =
        error
    else {
        return None;
    };
    match attempt {
        RequestAttemptError::DbError(DbError::Unauthorized, what) => Some(what),
        _ => None,
    }
}

/// How many nodes that hang may be tried in turn.
const CONNECT_ROUNDS: u32 = 3;

/// From now on statements speak of this keyspace.
pub(super) async fn use_keyspace(session: &Session, keyspace: &str) -> Result<(), OpenError> {
    let unusable = |what: String| OpenError::Unusable { keyspace: keyspace.to_owned(), what };
    let text = "SELECT keyspace_name FROM system_schema.keyspaces WHERE keyspace_name = ?";
    let found = session.query_unpaged(text, (keyspace,)).await;
    let found = found.map_err(|error| unusable(error.to_string()))?;
    let rows = found.into_rows_result().map_err(|error| unusable(error.to_string()))?;
    if rows.rows_num() == 0 {
        return Err(OpenError::NoKeyspace { keyspace: keyspace.to_owned() });
    }
    let used = session.use_keyspace(keyspace, true).await;
    used.map_err(|error| unusable(error.to_string()))
}

/// Names go into statements as they are, so they must be plain.
fn check_name(keyspace: &str) -> Result<(), OpenError> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    let begins = keyspace.starts_with(|c: char| c.is_ascii_lowercase());
    if begins && keyspace.chars().all(plain) && keyspace.len() <= KEYSPACE_NAME_MAX {
        return Ok(());
    }
    Err(wrong(format!(
        "`{keyspace}` is no name for a keyspace: up to {KEYSPACE_NAME_MAX} small letters, digits \
         and `_`, a letter first"
    )))
}

/// Trusts the authorities in a file.
fn tls(file: &Path) -> Result<rustls::ClientConfig, OpenError> {
    let unreadable = |what: String| {
        wrong(format!("store.tls_ca, {}: {what}; give a PEM file of certificates", file.display()))
    };
    let mut roots = rustls::RootCertStore::empty();
    let found = CertificateDer::pem_file_iter(file).map_err(|e| unreadable(e.to_string()))?;
    for certificate in found {
        let certificate = certificate.map_err(|error| unreadable(error.to_string()))?;
        roots.add(certificate).map_err(|error| unreadable(error.to_string()))?;
    }
    if roots.is_empty() {
        return Err(unreadable("it has no certificate".to_owned()));
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| unreadable(error.to_string()))?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

/// Deletes a keyspace with all that is in it. For tests, which make one each.
pub async fn drop_keyspace(options: &ScyllaOptions) -> Result<(), OpenError> {
    let session = connect(options).await?;
    let text = format!("DROP KEYSPACE IF EXISTS {}", options.keyspace);
    let dropped = session.query_unpaged(text, ()).await;
    dropped.map(drop).map_err(|error| OpenError::Unusable {
        keyspace: options.keyspace.clone(),
        what: error.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_keyspaces_are_plain() {
        for good in ["switchboard", "a", "chats_2"] {
            assert_eq!(check_name(good), Ok(()));
        }
        let long = "a".repeat(KEYSPACE_NAME_MAX + 1);
        for bad in ["", "1a", "_a", "Chats", "a-b", "a b", "a;drop", long.as_str()] {
            assert!(check_name(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_file_without_certificates_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ca.pem");
        let text = tls(&file).unwrap_err().to_string();
        assert!(text.contains("store.tls_ca") && text.contains("PEM"), "{text}");
        std::fs::write(&file, "").unwrap();
        assert!(tls(&file).unwrap_err().to_string().contains("it has no certificate"));
    }
}
