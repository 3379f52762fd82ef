//! What every port has alike: how it is declared, and the one wrapper around all of them, which limits
//! how long a store may be silent and measures how long it takes.
//!
//! Refuses to try anything again: whether a call that was given up takes effect is not known, and only
//! who asked knows where to look.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::telemetry::{self, StoreCallEnd};

use super::{AppendError, OperatorRecordError, StoreError};

/// A port whose store answers in time, or counts as silent.
pub struct InTime<P: ?Sized> {
    pub(super) port: Arc<P>,
    limit: Duration,
}

impl<P: ?Sized> InTime<P> {
    /// This port, with a limit for each call.
    pub fn new(port: Arc<P>, limit: Duration) -> Self {
        Self { port, limit }
    }

    /// What the store answers to one call of the port of this name.
    pub(super) async fn call<T, E: CallError>(
        &self,
        port: &'static str,
        asked: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        let limit = self.limit;
        let mut measured = Measured { port, begun: now(), end: StoreCallEnd::GivenUp };
        let answer = tokio::time::timeout(limit, asked).await;
        measured.end = match &answer {
            Ok(Ok(_)) => StoreCallEnd::Done,
            Ok(Err(error)) if error.is_trouble() => StoreCallEnd::Failed,
            Ok(Err(_)) => StoreCallEnd::Refused,
            Err(_) => StoreCallEnd::Silent,
        };
        drop(measured);
        answer.unwrap_or_else(|_| Err(E::silent(limit)))
    }
}

/// A call under way. It is counted when it is let go, whoever does so: a caller with a shorter limit of
/// its own drops it before the store answers.
struct Measured {
    port: &'static str,
    begun: Instant,
    end: StoreCallEnd,
}

impl Drop for Measured {
    fn drop(&mut self) {
        telemetry::store_call(self.port, self.end, self.begun.elapsed());
    }
}

#[allow(clippy::disallowed_methods, reason = "durations for metrics, not for decisions")]
fn now() -> Instant {
    Instant::now()
}

/// What a call of a port may fail with.
pub(super) trait CallError {
    /// The store did not answer within the limit.
    fn silent(limit: Duration) -> Self;
    /// Whether it is the store's trouble, and no answer to what was asked.
    fn is_trouble(&self) -> bool;
}

impl CallError for StoreError {
    fn silent(limit: Duration) -> Self {
        Self::Silent { limit }
    }

    fn is_trouble(&self) -> bool {
        match self {
            Self::Unavailable { .. } | Self::Silent { .. } | Self::Damaged { .. } => true,
            Self::Forgotten { .. } | Self::VersionConflict { .. } => false,
        }
    }
}

impl CallError for AppendError {
    fn silent(limit: Duration) -> Self {
        Self::Unknown { reason: StoreError::Silent { limit }.to_string() }
    }

    fn is_trouble(&self) -> bool {
        match self {
            Self::Unknown { .. } | Self::Unavailable { .. } => true,
            Self::Fenced | Self::Conflict { .. } => false,
        }
    }
}

impl CallError for OperatorRecordError {
    fn silent(limit: Duration) -> Self {
        Self::Store(StoreError::Silent { limit })
    }

    fn is_trouble(&self) -> bool {
        true
    }
}

/// Declares a port, with its wrapper beside it: a trait whose calls are all `async` and answer a
/// `Result`, so that there is none without a limit. Those with a body have it as their default.
macro_rules! port {
    (
        $(#[$of_port:meta])*
        pub trait $port:ident {
            $(
                $(#[$of_call:meta])*
                async fn $call:ident(&self $(, $name:ident: $of:ty)* $(,)?)
                    -> Result<$answer:ty, $error:ty> $default:tt
            )*
        }
    ) => {
        $(#[$of_port])*
        #[async_trait::async_trait]
        pub trait $port: Send + Sync + 'static {
            $(
                $(#[$of_call])*
                async fn $call(&self $(, $name: $of)*) -> Result<$answer, $error> $default
            )*
        }

        #[async_trait::async_trait]
        impl $port for $crate::storage::port::InTime<dyn $port> {
            $(
                async fn $call(&self $(, $name: $of)*) -> Result<$answer, $error> {
                    self.call(stringify!($port), self.port.$call($($name),*)).await
                }
            )*
        }
    };
}

/// Declares what a store is, as the list of its ports; and of those that only some stores have.
macro_rules! ports {
    (
        of every store { $($(#[$doc:meta])* $name:ident: $port:ident,)* }
        of some { $($(#[$of_some:meta])* $extra:ident: $extra_port:ident,)* }
    ) => {
        /// One store, as its ports. Which adapter stands behind them only the outermost layer knows.
        #[derive(Clone)]
        pub struct Store {
            $($(#[$doc])* pub $name: Arc<dyn $port>,)*
            $($(#[$of_some])* pub $extra: Option<Arc<dyn $extra_port>>,)*
        }

        impl Store {
            /// All ports of an adapter that implements every one of them, without those that only some have.
            pub fn of<A: $($port +)*>(adapter: Arc<A>) -> Self {
                Self { $($name: Arc::<A>::clone(&adapter),)* $($extra: None,)* }
            }

            /// The same store, whose every call answers within the limit or errors as silent.
            pub fn in_time(&self, limit: Duration) -> Self {
                Self {
                    $($name: Arc::new(InTime::new(Arc::clone(&self.$name), limit)),)*
                    $($extra: self.$extra.clone().map(|port| Arc::new(InTime::new(port, limit)) as _),)*
                }
            }
        }
    };
}

pub(super) use {port, ports};

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use metrics_exporter_prometheus::PrometheusBuilder;

    use super::*;
    use crate::domain::{ChatId, Party, UserId};
    use crate::storage::memory::{Fault, FaultAt, MemoryStore};
    use crate::storage::{Claim, Watermark};

    const LIMIT: Duration = Duration::from_millis(5);
    const CHAT: ChatId = ChatId::from_u128(1);
    const ENDS: [&str; 5] = ["done", "refused", "failed", "silent", "given_up"];

    port! {
        /// A port of which one call has a default.
        pub trait Odd {
            /// Of no use unless somebody does it better.
            async fn guess(&self, _what: &str) -> Result<u8, StoreError> {
                Ok(7)
            }

            /// Appends something.
            async fn append(&self, claim: Claim) -> Result<(), AppendError>;
        }
    }

    /// Does its own thing, and never ends what is appended.
    struct Silent;

    #[async_trait::async_trait]
    impl Odd for Silent {
        async fn guess(&self, what: &str) -> Result<u8, StoreError> {
            u8::try_from(what.len()).map_err(|_| StoreError::Forgotten { chat: CHAT })
        }

        async fn append(&self, _claim: Claim) -> Result<(), AppendError> {
            std::future::pending().await
        }
    }

    #[tokio::test]
    async fn a_store_that_is_silent_is_an_unknown_outcome() {
        let odd: Arc<dyn Odd> = Arc::new(Silent);
        let odd = InTime::new(odd, LIMIT);
        let appended = odd.append(Claim { chat: CHAT, epoch: 1 }).await;
        let reason = "the store has not answered within 5ms".to_owned();
        assert_eq!(appended, Err(AppendError::Unknown { reason }));
        assert_eq!(odd.guess("as it is").await, Ok(8), "not by the default");
        let silent = std::future::pending::<Result<(), StoreError>>();
        assert_eq!(odd.call("Odd", silent).await, Err(StoreError::Silent { limit: LIMIT }));
        let silent = std::future::pending::<Result<(), OperatorRecordError>>();
        let told = Err(OperatorRecordError::Store(StoreError::Silent { limit: LIMIT }));
        assert_eq!(odd.call("Odd", silent).await, told);
    }

    #[tokio::test]
    async fn what_a_store_answers_in_time_is_what_it_answers() {
        let memory = MemoryStore::new();
        let store = memory.store().in_time(Duration::from_secs(60));
        let raised = BTreeMap::from([(Party::System, Watermark { delivered: 2, read: 1 })]);
        store.watermarks.raise(CHAT, raised.clone()).await.unwrap();
        assert_eq!(memory.store().watermarks.load(CHAT).await, Ok(raised));
        memory.fail_next(FaultAt::Operators, Fault::Refuse);
        let refused = store.operators.save(UserId::from_u128(1), Default::default()).await;
        assert!(matches!(refused, Err(StoreError::Unavailable { .. })), "{refused:?}");
        let begun = store.processes.begin().await;
        assert_eq!(begun, Ok(1));
    }

    #[tokio::test]
    async fn each_call_is_counted_by_how_it_ended_also_one_that_its_caller_gave_up() {
        let recorder = PrometheusBuilder::new().build_recorder();
        let handle = recorder.handle();
        let _here = metrics::set_default_local_recorder(&recorder);
        let of = |what: &str, end: &str| {
            let line =
                format!("switchboard_store_call_seconds_{what}{{port=\"Odd\",end=\"{end}\"}} ");
            let text = handle.render();
            let value = text.lines().find_map(|at| at.strip_prefix(&line));
            value.map_or(0.0, |value| value.parse::<f64>().unwrap())
        };
        let counts = || ENDS.map(|end| of("count", end));
        let [short, long] = [LIMIT, Duration::from_secs(60)].map(|limit| {
            let odd: Arc<dyn Odd> = Arc::new(Silent);
            InTime::new(odd, limit)
        });
        let unavailable = StoreError::Unavailable { reason: String::new() };
        let answers = [Ok(()), Err(StoreError::Forgotten { chat: CHAT }), Err(unavailable)];
        for (n, answer) in answers.into_iter().enumerate() {
            let _ = long.call("Odd", std::future::ready(answer)).await;
            assert_eq!(counts(), [0, 1, 2, 3, 4].map(|end| f64::from(u8::from(end <= n))));
        }
        let silent = || std::future::pending::<Result<(), StoreError>>();
        assert!(short.call("Odd", silent()).await.is_err());
        assert_eq!(counts(), [1.0, 1.0, 1.0, 1.0, 0.0]);
        let given_up = tokio::time::timeout(LIMIT, long.call("Odd", silent())).await;
        assert!(given_up.is_err());
        assert_eq!(counts(), [1.0; 5]);
        for end in ["silent", "given_up"] {
            assert!(of("sum", end) >= LIMIT.as_secs_f64(), "the time that passed, of {end}");
        }
    }

    #[test]
    fn an_answer_that_is_no_is_no_trouble() {
        let limit = LIMIT;
        let reason = String::new;
        for (error, trouble) in [
            (StoreError::Unavailable { reason: reason() }, true),
            (StoreError::Silent { limit }, true),
            (StoreError::Damaged { reason: reason() }, true),
            (StoreError::Forgotten { chat: CHAT }, false),
            (StoreError::VersionConflict { expected: 1, found: 2 }, false),
        ] {
            assert_eq!(error.is_trouble(), trouble, "{error}");
        }
        assert!(AppendError::silent(limit).is_trouble() && !AppendError::Fenced.is_trouble());
    }
}
