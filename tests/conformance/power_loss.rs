//! Lost power, a thousand times: what was acknowledged is there, what was not is there wholly or
//! not at all, and the store opens again.
//!
//! A seed is up to three lives on one disk. In each, groups of up to four calls on different keys
//! go to the store at once, until the power goes at a change that the seed chose, or all is done.
//! Then the disk keeps of the unsynced what the seed says, and the next life verifies first. Or
//! only the process dies: the next life sees all that was written, synced or not, and whatever it
//! shows must outlast a later loss of power. The calls and the disk follow the seed alone; only how a group falls into batches is the threads'
//! affair.
//!
//! Some databases were made by an earlier release. Between lives the index may be damaged, and before
//! some the database is repaired, with the power going inside that too.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use switchboard::storage::Store;
use switchboard::storage::sqlite::{OpenError, SqliteStore, Synchronous};

use crate::expected::{Call, Done, Expected, Violation, run};
use crate::power_loss_repair::{Repaired, Repairs};
use crate::rng::Rng;
use crate::subject::{Kind, Rig, block_on};
use crate::tally::Tally;

/// Seeds of the run that must find nothing, unless `SWITCHBOARD_POWER_SEEDS` says another number:
/// `make soak` runs more.
const SEEDS: u64 = 250;

/// Seeds of the run without syncs, which must find losses.
const SEEDS_WITHOUT_SYNC: u64 = 100;

/// Lives of one disk; what recovery leaves behind must survive as well.
const LIVES: usize = 3;

/// Groups of calls in a life.
const GROUPS: usize = 14;

/// Calls of a group, at most.
const CALLS: usize = 4;

/// The power goes within this many changes and syncs, or when the life is over.
const CHANGES: usize = 360;

/// Calls in groups until all are made or the power is gone.
async fn live(
    store: &Store,
    rig: &Rig,
    expected: &mut Expected,
    rng: &mut Rng,
    tally: &Tally,
) -> Result<(), Violation> {
    for _ in 0..GROUPS {
        let mut group = BTreeMap::new();
        for _ in 0..=rng.below(CALLS) {
            let (port, n, call) = expected.call(rng);
            // Nothing else is done with a chat that is being forgotten.
            if let Call::Forget = call {
                group = BTreeMap::from([((port, n), call)]);
                break;
            }
            group.entry((port, n)).or_insert(call);
        }
        let moves: Vec<usize> = group
            .iter()
            .filter(|(_, call)| matches!(call, Call::Move(..)))
            .map(|((_, n), _)| *n)
            .collect();
        // Those rows are written with the events, and by nobody else meanwhile.
        group.retain(|(_, n), call| {
            !matches!(call, Call::Open(_) | Call::Ended(_)) || !moves.contains(n)
        });
        let mut tasks = Vec::new();
        for ((_, n), call) in group {
            let made = run(store.clone(), n, expected.chat(n), expected.claims[n], call.clone());
            tasks.push((n, call, tokio::spawn(made)));
        }
        for (n, call, task) in tasks {
            let done = task.await.map_err(|error| error.to_string())??;
            if done == Done::Yes {
                tally.acknowledged.fetch_add(1, Relaxed);
                tally.forgotten.fetch_add(usize::from(matches!(call, Call::Forget)), Relaxed);
            } else if rig.disk.powered() {
                return Err("a call failed although there was power".to_owned());
            }
            expected.note(n, call, done);
        }
        if !rig.disk.powered() {
            return Ok(());
        }
    }
    Ok(())
}

/// One life: repair, if so, start, verify, live, end.
fn life(
    rig: &Rig,
    repairs: &mut Repairs,
    expected: &mut Expected,
    rng: &mut Rng,
    tally: &Tally,
) -> Result<(), Violation> {
    match repairs.before_life(rig, expected, rng, tally)? {
        Repaired::Cut => return Ok(()),
        Repaired::No | Repaired::Yes => {}
    }
    rig.disk.cut_power_after(rng.below(CHANGES));
    let mut opened = rig.open();
    repairs.after_start(rig, tally);
    let mut verified = verify(&opened, expected, tally);
    if let Err(met) = &verified
        && repairs.is_damaged()
        && rig.disk.powered()
    {
        says_so(met)?;
        // Whoever meets the damage leaves word for the next start, which makes it good.
        drop(opened);
        opened = rig.open();
        repairs.after_start(rig, tally);
        verified = verify(&opened, expected, tally);
        tally.started_again.fetch_add(1, Relaxed);
    }
    let sqlite = match opened {
        Ok(sqlite) => sqlite,
        Err(_) if !rig.disk.powered() => {
            tally.cut_at_open.fetch_add(1, Relaxed);
            return Ok(());
        }
        Err(error) => return Err(format!("does not open: {error}")),
    };
    match verified {
        Err(_) if !rig.disk.powered() => {}
        // Whoever writes to what is damaged and was not met fails.
        Ok(()) if repairs.is_damaged() => {}
        Ok(()) => block_on(live(&sqlite.store(), rig, expected, rng, tally))?,
        Err(violation) => return Err(violation),
    }
    end(sqlite, rig, rng, tally);
    Ok(())
}

/// Damage may be met, but nothing may be missing without a word.
fn says_so(met: &Violation) -> Result<(), Violation> {
    let says = ["cannot read", "unavailable", "Unavailable", "Damaged"];
    if says.iter().any(|word| met.contains(word)) { Ok(()) } else { Err(met.clone()) }
}

/// Reads everything back from a store that was opened.
fn verify(
    opened: &Result<Arc<SqliteStore>, OpenError>,
    expected: &mut Expected,
    tally: &Tally,
) -> Result<(), Violation> {
    match opened {
        Ok(sqlite) => block_on(expected.verify(&sqlite.store(), tally)),
        Err(error) => Err(format!("does not open: {error}")),
    }
}

fn end(sqlite: Arc<SqliteStore>, rig: &Rig, rng: &mut Rng, tally: &Tally) {
    let counters = sqlite.counters();
    tally.folds.fetch_add(usize::from(counters.folded() > 0), Relaxed);
    tally.checkpoints.fetch_add(counters.checkpoints() as usize, Relaxed);
    let alive = rig.disk.powered();
    if alive && rng.one_in(2) {
        rig.disk.cut_power();
        tally.cut_at_rest.fetch_add(1, Relaxed);
    }
    let closing = rig.disk.powered();
    drop(sqlite);
    let which = match (alive, closing, rig.disk.powered()) {
        (false, _, _) => &tally.cut_under_way,
        (true, true, true) => &tally.closed_cleanly,
        (true, true, false) => &tally.cut_at_close,
        (true, false, _) => return,
    };
    which.fetch_add(1, Relaxed);
}

/// All lives of one seed, and a last look without trouble.
fn seed(seed: u64, synchronous: Synchronous, tally: &Tally) -> Result<(), Violation> {
    let mut rng = Rng::new(seed);
    let mut rig = Rig::new(Kind::SqliteOnOurDisk);
    rig.options.synchronous = synchronous;
    let mut expected = Expected::new();
    let mut repairs = Repairs::new(&rig, &mut rng);
    for _ in 0..LIVES {
        life(&rig, &mut repairs, &mut expected, &mut rng, tally)?;
        if rng.one_in(3) {
            rig.disk.kill();
            tally.killed.fetch_add(1, Relaxed);
        } else {
            rig.disk.restart(&mut rng);
        }
    }
    rig.disk.restart(&mut rng);
    repairs.before_the_end(&rig)?;
    let mut look = |repairs: &mut Repairs| {
        let opened = rig.open();
        repairs.after_start(&rig, tally);
        verify(&opened, &mut expected, tally)
    };
    match look(&mut repairs) {
        Err(met) if repairs.is_damaged() => {
            says_so(&met)?;
            look(&mut repairs)?;
        }
        first => first?,
    }
    repairs.at_the_end(&rig, tally)
}

/// Runs the seeds on two threads, and answers what broke at which.
fn run_seeds(seeds: u64, synchronous: Synchronous, tally: &Tally) -> Vec<(u64, Violation)> {
    let half = |rest: u64| {
        let seeds = (0..seeds).filter(move |seed| seed % 2 == rest);
        seeds.filter_map(|n| seed(n, synchronous, tally).err().map(|violation| (n, violation)))
    };
    std::thread::scope(|scope| {
        let odd = scope.spawn(|| half(1).collect::<Vec<_>>());
        let mut broken: Vec<_> = half(0).collect();
        broken.extend(odd.join().unwrap());
        broken
    })
}

#[test]
fn nothing_acknowledged_is_lost_with_the_power() {
    let tally = Tally::default();
    let wanted = std::env::var("SWITCHBOARD_POWER_SEEDS").ok();
    let seeds = wanted.map_or(SEEDS, |seeds| seeds.parse().unwrap());
    let broken = run_seeds(seeds, Synchronous::Full, &tally);
    println!("{seeds} seeds: {tally:?}");
    assert!(broken.is_empty(), "{} seeds broke, first: {:?}", broken.len(), broken.first());
    // A run that never met these would prove little.
    let Tally {
        cut_at_open,
        cut_under_way,
        cut_at_close,
        cut_at_rest,
        closed_cleanly,
        killed,
        acknowledged,
        came_true,
        came_to_nothing,
        folds,
        checkpoints,
        forgotten,
        damaged,
        started_again,
        rebuilt,
        repaired,
        cut_in_repair,
        converted,
        moved,
        not_moved,
    } = tally;
    let met = [
        cut_at_open,
        cut_under_way,
        cut_at_close,
        cut_at_rest,
        closed_cleanly,
        killed,
        acknowledged,
        came_true,
        came_to_nothing,
        folds,
        checkpoints,
        forgotten,
        damaged,
        started_again,
        rebuilt,
        repaired,
        cut_in_repair,
        converted,
        moved,
        not_moved,
    ];
    assert!(met.iter().all(|count| count.load(Relaxed) > 0));
}

#[test]
fn without_syncs_the_same_check_finds_losses() {
    let tally = Tally::default();
    let broken = run_seeds(SEEDS_WITHOUT_SYNC, Synchronous::Off, &tally);
    println!("synchronous=OFF broke {} of {SEEDS_WITHOUT_SYNC} seeds", broken.len());
    println!("the first: {:?}", broken.first());
    assert!(broken.len() as u64 > SEEDS_WITHOUT_SYNC / 2, "{} broke", broken.len());
}
