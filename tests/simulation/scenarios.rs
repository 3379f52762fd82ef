//! Seeds that once failed, each named after its symptom, so that it stays mended.

use crate::run;
use crate::world::Plan;

/// Seeds that found a fault while the machines were written.
const SEEDS: &[(u64, &str)] = &[
    (1121, "a recalled command freed the slot of a take on its way"),
    (2050, "an operator owned more than fits, by a late repeat of a take"),
    (499, "a repeated give went to two chats"),
    (266, "a chat was held and an invitation at once"),
    (607, "an offer outlived its process, and nobody woke the chat"),
];

#[test]
fn seeds_that_failed_once_pass() {
    for (seed, symptom) in SEEDS {
        println!("seed {seed}: {symptom}");
        run(*seed, Plan::default());
    }
}
