//! How statements are declared and prepared. Each file of an aggregate has its own.
//!
//! Invariant: plain writes to rows take a timestamp. What each `DELETE` leaves for reads to pass over
//! stands in `docs/decisions/0007-distributed-store.md`.

/// The statements of an aggregate, each with its kind. In their texts `%` stands for the keyspace.
macro_rules! statements {
    ($($(#[$doc:meta])* $name:ident: $kind:ident = $text:expr;)*) => {
        /// The statements of this aggregate, prepared.
        pub(super) struct Statements {
            $($(#[$doc])* pub $name: scylla::statement::prepared::PreparedStatement,)*
        }

        impl Statements {
            pub async fn prepare(
                session: &scylla::client::session::Session,
                profiles: &crate::storage::scylla::profiles::Profiles,
                keyspace: &str,
            ) -> Result<Self, scylla::errors::PrepareError> {
                use crate::storage::scylla::profiles::Kind;
                Ok(Self { $(
                    // A prepared statement must not depend on what its connection was told before.
                    $name: profiles
                        .prepare(session, Kind::$kind, &$text.replace('%', keyspace))
                        .await?,
                )* })
            }
        }
    };
}

/// All statements of the store: those of each aggregate.
macro_rules! statements_of {
    ($($aggregate:ident),* $(,)?) => {
        /// The statements, by aggregate.
        struct Statements { $($aggregate: $aggregate::Statements,)* }

        impl Statements {
            async fn prepare(
                session: &scylla::client::session::Session,
                profiles: &Profiles,
                keyspace: &str,
            ) -> Result<Self, scylla::errors::PrepareError> {
                Ok(Self {
                    $($aggregate: $aggregate::Statements::prepare(session, profiles, keyspace).await?,)*
                })
            }
        }
    };
}

pub(super) use {statements, statements_of};
