//! Copies into and out of the distributed store while it has trouble.

use std::io::Cursor;
use std::sync::Arc;

use switchboard::storage::export::{ExportError, export, import};
use switchboard::storage::memory::MemoryStore;
use switchboard::storage::scylla::ScyllaStore;

use crate::cql_support::{Keyspace, RUNTIME};
use crate::export::{contents, exported, fill, imported, is_as_filled, occasion};
use crate::export_trouble::{UNTIL_DONE, failing};
use crate::proxy::{Proxy, Says, Trouble};
use crate::subject::{Kind, Subject};

#[test]
fn cql_an_import_that_was_interrupted_goes_on_to_its_end() {
    RUNTIME.block_on(async {
        let Some(mut target) = Subject::new(Kind::Cql).await else { return };
        let source = MemoryStore::new().store();
        fill(&source, 100).await;
        let (stream, written) = exported(&source, 1).await;
        let (other, _) = exported(&source, 2).await;
        for appends in [0, 1, 40] {
            let stopped = imported(&failing(&target.store, appends, None), &stream).await;
            assert!(matches!(stopped, Err(ExportError::Append(_))), "{stopped:?}");
            target = target.restart().await;
            let refused = imported(&target.store, &other).await;
            assert_eq!(refused, Err(ExportError::HalfImported), "another export");
        }
        assert_eq!(imported(&target.store, &stream).await.unwrap(), written);
        let target = target.restart().await;
        is_as_filled(&target.store, 100).await;
        let (again, _) = exported(&target.store, 3).await;
        assert_eq!(contents(&again), contents(&stream));
    });
}

/// By how many requests the gaps between two troubles grow.
const GROWTH: usize = 5;

/// So many troubles are had at least, each way.
const STRUCK_MIN: usize = 5;

/// Requests of every kind: refused, and done without a word of it.
#[test]
fn cql_a_copy_outlasts_a_database_that_fails_now_and_then() {
    RUNTIME.block_on(async {
        let Some(keyspace) = Keyspace::new().await else { return };
        let source = MemoryStore::new().store();
        fill(&source, 50).await;
        let (stream, written) = exported(&source, 1).await;
        let proxy = Proxy::before(keyspace.options.contact_points[0].clone()).await;
        let mut options = keyspace.options.clone();
        options.contact_points = vec![proxy.address.to_string()];
        let scylla = Arc::new(ScyllaStore::open(&options).await.unwrap());
        let store = scylla.store();

        proxy.trouble_rarer(GROWTH, |_| true, Trouble::DoneAndTold(Says::WriteTimeout));
        let brought = import(&store, Cursor::new(&stream), None, UNTIL_DONE, &mut ()).await;
        assert_eq!(brought.unwrap(), written);
        let struck = proxy.struck();
        assert!(struck > STRUCK_MIN, "{struck}");

        proxy.trouble_rarer(GROWTH, |_| true, Trouble::Refused(Says::Overloaded));
        let mut again = Vec::new();
        let copied = export(&store, occasion(2), &mut again, UNTIL_DONE, &mut ()).await;
        assert_eq!(copied.unwrap(), written);
        assert_eq!(contents(&again), contents(&stream));
        let struck_again = proxy.struck() - struck;
        assert!(struck_again > STRUCK_MIN, "{struck_again}");
        proxy.heal();
        is_as_filled(&store, 50).await;
        scylla.close().await;
    });
}
