//! Seeds that once failed, each named after its symptom, so that it stays mended.

use crate::run;
use crate::world::Plan;

/// Seeds that found a fault while the machines were written.
const SEEDS: &[(u64, &str)] = &[];

#[test]
fn seeds_that_failed_once_pass() {
    for (seed, symptom) in SEEDS {
        println!("seed {seed}: {symptom}");
        run(*seed, Plan::default());
    }
}
