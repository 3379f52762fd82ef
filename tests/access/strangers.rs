//! Log-ins of whoever is known, while strangers use up all that strangers have.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use futures_util::FutureExt;
use switchboard::access::limits::HASHES_WAITING_MAX;
use switchboard::access::{AccessError, Attempt, PasswordError};

use crate::{ANNA, NOW, PASSWORD, attempt, world};

/// Within which a log-in that nobody is in the way of ends, on a slow machine, too.
const LIMIT: Duration = Duration::from_secs(10);

/// An attempt from a network of its own.
fn from(network: usize, password: &str) -> Attempt<'static> {
    let address = IpAddr::V4(Ipv4Addr::new(203, 0, network as u8, 1));
    Attempt { address, ..attempt("anna", password) }
}

#[test]
fn strangers_who_fill_their_lane_keep_nobody_out_who_is_known() {
    // Hashes work in one thread, which the test may hold.
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.max_blocking_threads(1).enable_all();
    runtime.build().unwrap().block_on(strangers_fill_their_lane());
}

/// Who is asked once and then not looked at any more keeps its turn, or its place.
async fn strangers_fill_their_lane() {
    let world = world().await;
    let log_in = async |attempt| world.access.log_in(attempt, NOW).await.outcome;
    let mark = log_in(from(200, PASSWORD)).await.unwrap().device_mark.unwrap();
    let (go, held) = std::sync::mpsc::channel::<()>();
    let holds = tokio::task::spawn_blocking(move || held.recv());
    let waits = |n| {
        let mut stranger = Box::pin(log_in(from(n, "wrong wrong wrong")));
        assert!(stranger.as_mut().now_or_never().is_none());
        stranger
    };
    // The first one's hash ends by itself, and the next one has the turn.
    let mut strangers: Vec<_> = (0..=HASHES_WAITING_MAX).map(waits).collect();
    go.send(()).unwrap();
    holds.await.unwrap().unwrap();
    assert_eq!(strangers.remove(0).await.err(), Some(AccessError::Credentials));
    strangers.push(waits(100));
    let busy = Some(AccessError::Password(PasswordError::Busy));
    assert_eq!(log_in(from(101, PASSWORD)).await.err(), busy, "one more of them");
    // What the device has counts from everywhere; the network, without it.
    let device = Attempt { device_mark: Some(&mark), ..from(102, PASSWORD) };
    for known in [device, from(200, PASSWORD)] {
        let tokens = tokio::time::timeout(LIMIT, log_in(known)).await;
        // Neither does it wait for strangers, nor has it no place.
        assert_eq!(tokens.unwrap().unwrap().user, ANNA);
    }
    for stranger in strangers {
        assert_eq!(stranger.await.err(), Some(AccessError::Credentials), "it had its place");
    }
}
