//! A start whose store falls silent.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::json;
use switchboard::actors::Options;
use switchboard::app::{Plan, Server, StoreChoice};
use switchboard::storage::Store;
use switchboard::storage::memory::MemoryStore;

use crate::harness::{PATIENCE, World, id, plan, settings};
use crate::hooked::{Asked, Call, Hook, OfDocuments, Trouble, hooked};

/// What becomes of an erasure.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Erasure {
    Done,
    /// The last of its steps is refused.
    LeftUnderWay,
    /// Nothing is heard of what the customer had.
    Silent,
}

struct Falls {
    erasure: Erasure,
    /// Of documents of this kind nothing is heard.
    kind: &'static str,
}

#[async_trait]
impl Hook for Falls {
    async fn around(&self, asked: Asked, call: Call<'_>) -> Result<(), Trouble> {
        match (asked, self.erasure) {
            (Asked::CommandsOf(_), Erasure::Silent) => pending().await,
            (Asked::TrailOf(_), Erasure::LeftUnderWay) => Err(Trouble::Refused),
            _ => {
                call.await;
                Ok(())
            }
        }
    }

    async fn around_documents(
        &self,
        kind: &str,
        _: OfDocuments,
        call: Call<'_>,
    ) -> Result<(), Trouble> {
        if kind == self.kind {
            pending::<()>().await;
        }
        call.await;
        Ok(())
    }
}

fn starting(store: &Store, erasure: Erasure, kind: &'static str) -> Plan {
    let store = hooked(store, Arc::new(Falls { erasure, kind }));
    plan(settings(), StoreChoice::Given(store))
}

/// What a start says, the store of which is silent.
async fn said(mut plan: Plan) -> String {
    plan.router = Options { store_limit: Duration::from_millis(500), ..Options::default() };
    let started = tokio::time::timeout(PATIENCE, Server::start(plan)).await;
    started.expect("a start ends").err().map(|error| error.to_string()).unwrap_or_default()
}

#[tokio::test]
async fn a_start_ends_with_a_word_wherever_the_store_falls_silent() {
    let silent = "the store has not answered within 500ms";
    for kind in ["import", "forgetting", "incarnation", "seed"] {
        let store = MemoryStore::new().store();
        let said = said(starting(&store, Erasure::Done, kind)).await;
        assert!(said.contains(silent), "{kind}: {said}");
    }
    // An erasure that a former process left under way.
    let store = MemoryStore::new().store();
    let server = Server::start(starting(&store, Erasure::LeftUnderWay, "")).await.unwrap();
    let world = World { server };
    let (_, customer) = world.visitor("Shop", None).await;
    let admin = world.log_in("admin").await;
    let path = format!("/api/v1/channels/{}/customers/{customer}", id("channel", "Shop"));
    let (status, body) = world.ask("DELETE", &path, &admin, None).await;
    assert_eq!((status, &body["name"]), (503, &json!("unavailable")), "{body}");
    world.server.stop().await;
    let said = said(starting(&store, Erasure::Silent, "")).await;
    assert!(said.contains(silent), "an erasure: {said}");
}
