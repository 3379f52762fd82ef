//! What sees a fault: its witness, and where it has none that still sees it, suite after suite.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use anyhow::{Result, ensure};

use crate::list::Fault;
use crate::run::{self, Outcome, Places};
use crate::suites::{self, Suite};

/// What became of a fault.
#[derive(Debug, PartialEq, Eq)]
pub enum Seen {
    /// By this suite, how, and what it said.
    By(&'static str, Outcome, Option<String>),
    /// By none.
    Survived,
    /// Its witness is in this suite, which was not built: whether that sees it nobody knows.
    NotTried(&'static str),
}

/// A fault, and what became of it.
pub struct Row<'a> {
    pub fault: &'a Fault,
    pub seen: Seen,
    /// Whether its witness saw it, which is the quick way.
    pub by_witness: bool,
    pub seconds: u64,
}

/// The suites that were built, and what is known of them.
pub struct Bench {
    places: Places,
    suites: Vec<&'static Suite>,
    /// Whether only the suites that the list names for a fault are tried.
    own: bool,
    binaries: BTreeMap<&'static str, PathBuf>,
    /// The names of the tests of each.
    tests: BTreeMap<&'static str, BTreeSet<String>>,
    /// Those that have passed without a fault.
    sound: Mutex<BTreeSet<&'static str>>,
}

impl Bench {
    pub fn new(
        places: Places,
        suites: Vec<&'static Suite>,
        own: bool,
        binaries: BTreeMap<&'static str, PathBuf>,
    ) -> Result<Self> {
        let mut tests = BTreeMap::new();
        for suite in &suites {
            let binary = &binaries[suite.name];
            tests.insert(suite.name, run::names(&places, suite, binary)?);
        }
        Ok(Self { places, suites, own, binaries, tests, sound: Mutex::default() })
    }

    /// Runs all witnesses of these faults without a fault: each has to pass.
    pub fn try_witnesses(&self, faults: &[&Fault]) -> Result<()> {
        for suite in &self.suites {
            let here = faults.iter().filter_map(|fault| self.witness(fault));
            let tests: BTreeSet<&str> =
                here.filter(|(of, _)| of.name == suite.name).map(|(_, test)| test).collect();
            if tests.is_empty() {
                continue;
            }
            let (since, count) = (run::now(), tests.len());
            let binary = &self.binaries[suite.name];
            let together = |tests: &[&str]| run::only(&self.places, (*suite, tests), binary);
            let alone = |test: &str| run::alone(&self.places, (*suite, test), binary, None);
            let (outcome, said) = all_pass(tests, together, alone)?;
            println!("    {:6} s  {}: {count} witnesses", since.elapsed().as_secs(), suite.name);
            passed(suite, &outcome, said)?;
        }
        Ok(())
    }

    /// Tries its witness, then the suites, its own first, until one sees it. What is explained as
    /// equivalent is tried by its own alone.
    pub fn look<'a>(&self, fault: &'a Fault) -> Result<Row<'a>> {
        let since = run::now();
        let (seen, by_witness) = match self.by_witness(fault)? {
            Some(seen) => (seen, true),
            None => (of_these(fault, &self.suites, self.by_suites(fault)?), false),
        };
        Ok(Row { fault, seen, by_witness, seconds: since.elapsed().as_secs() })
    }

    /// The suite and the test that saw it last, if they are among what was built.
    fn witness<'a>(&self, fault: &'a Fault) -> Option<(&'static Suite, &'a str)> {
        let (name, test) = fault.witness()?;
        let suite = self.suites.iter().find(|suite| suite.name == name)?;
        self.tests[name].contains(test).then_some((*suite, test))
    }

    fn by_witness(&self, fault: &Fault) -> Result<Option<Seen>> {
        let Some((suite, test)) = self.witness(fault) else {
            if let Some((suite, test)) = fault.witness()
                && self.tests.contains_key(suite)
            {
                println!("    {}: its witness {test} is not in {suite} any more", fault.path());
            }
            return Ok(None);
        };
        let binary = &self.binaries[suite.name];
        let (outcome, said) = run::alone(&self.places, (suite, test), binary, Some(&fault.name))?;
        if outcome == Outcome::Passed {
            println!("    {}: its witness {test} of {} passes", fault.path(), suite.name);
            return Ok(None);
        }
        Ok(Some(Seen::By(suite.name, outcome, said)))
    }

    fn by_suites(&self, fault: &Fault) -> Result<Seen> {
        let of_fault = |suite: &&'static Suite| fault.first().any(|(name, _)| name == suite.name);
        let (first, then): (Vec<&Suite>, Vec<&Suite>) =
            self.suites.iter().copied().partition(of_fault);
        let own = (self.own || fault.equivalent.is_some()) && !first.is_empty();
        let others = if own { Vec::new() } else { then };
        let some = fault.first().filter_map(|(name, tests)| {
            let suite = first.iter().find(|suite| suite.name == name)?;
            Some((*suite, Some(tests?)))
        });
        let all = first.iter().chain(&others).map(|suite| (*suite, None));
        for (suite, tests) in some.chain(all) {
            self.try_suite(suite)?;
            let binary = &self.binaries[suite.name];
            let name = Some(fault.name.as_str());
            let (outcome, said) = run::suite(&self.places, (suite, tests), binary, name)?;
            if outcome != Outcome::Passed {
                return Ok(Seen::By(suite.name, outcome, said));
            }
        }
        Ok(Seen::Survived)
    }

    /// Runs a suite without a fault before it is asked about one: it has to pass.
    fn try_suite(&self, suite: &'static Suite) -> Result<()> {
        let mut sound = self.sound.lock().unwrap_or_else(PoisonError::into_inner);
        if sound.contains(suite.name) {
            return Ok(());
        }
        let since = run::now();
        let binary = &self.binaries[suite.name];
        let (outcome, said) = run::suite(&self.places, (suite, None), binary, None)?;
        println!("    {:6} s  {} without a fault", since.elapsed().as_secs(), suite.name);
        passed(suite, &outcome, said)?;
        sound.insert(suite.name);
        Ok(())
    }
}

/// What these suites say of a fault: that they see nothing proves nothing while its witness is in another.
fn of_these(fault: &Fault, suites: &[&'static Suite], seen: Seen) -> Seen {
    let witness = fault.witness().and_then(|(suite, _)| suites::named(suite));
    let elsewhere = witness.filter(|of| suites.iter().all(|suite| suite.name != of.name));
    match (seen, elsewhere) {
        (Seen::Survived, Some(of)) => Seen::NotTried(of.name),
        (seen, _) => seen,
    }
}

/// An outcome, and what was said.
type Ended = (Outcome, Option<String>);

/// Runs tests together, until all of them have passed: the process ends with the first that fails, so
/// when that one passes alone, it is set aside and the rest is run again.
fn all_pass(
    mut tests: BTreeSet<&str>,
    together: impl Fn(&[&str]) -> Result<Ended>,
    alone: impl Fn(&str) -> Result<Ended>,
) -> Result<Ended> {
    while !tests.is_empty() {
        let (outcome, said) = together(&tests.iter().copied().collect::<Vec<_>>())?;
        let Outcome::Failed(test) = &outcome else { return Ok((outcome, said)) };
        let again = alone(test)?;
        // One that was not asked for cannot be set aside.
        if again.0 != Outcome::Passed || !tests.remove(test.as_str()) {
            return Ok(again);
        }
    }
    Ok((Outcome::Passed, None))
}

fn passed(suite: &Suite, outcome: &Outcome, said: Option<String>) -> Result<()> {
    let said = said.unwrap_or_default();
    ensure!(*outcome == Outcome::Passed, "{} without a fault: {outcome:?} {said}", suite.name);
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    /// How these end when each of `fails` fails beside others, and each of `wrong` also alone.
    fn end(tests: &[&'static str], fails: &[&str], wrong: &[&str]) -> (Outcome, Vec<String>) {
        let (passed, failed) = (RefCell::new(Vec::new()), RefCell::new(fails.to_vec()));
        let together = |tests: &[&str]| {
            let of_all = |at: &usize| failed.borrow().contains(&tests[*at]);
            let at = (0..tests.len()).find(of_all);
            let through = &tests[..at.unwrap_or(tests.len())];
            passed.borrow_mut().extend(through.iter().map(|test| (*test).to_owned()));
            let outcome = at.map_or(Outcome::Passed, |at| Outcome::Failed(tests[at].to_owned()));
            Ok((outcome, None))
        };
        let alone = |test: &str| {
            failed.borrow_mut().retain(|one| *one != test);
            let wrong = wrong.contains(&test);
            Ok((if wrong { Outcome::Failed(test.to_owned()) } else { Outcome::Passed }, None))
        };
        let (outcome, _) = all_pass(tests.iter().copied().collect(), together, alone).unwrap();
        (outcome, passed.into_inner())
    }

    #[test]
    fn behind_a_witness_that_fails_by_chance_the_others_are_still_tried() {
        let (outcome, passed) = end(&["a", "b", "c", "d"], &["a", "c"], &[]);
        assert_eq!(outcome, Outcome::Passed);
        assert!(["b", "d"].iter().all(|test| passed.contains(&(*test).to_owned())), "{passed:?}");
        let (outcome, _) = end(&["a", "b", "c"], &["a", "c"], &["c"]);
        assert_eq!(outcome, Outcome::Failed("c".to_owned()), "it is no chance");
        assert_eq!(end(&["a"], &["a"], &[]).0, Outcome::Passed, "nothing is left to be run");
    }

    #[test]
    fn a_fault_whose_witness_is_in_a_suite_that_was_not_built_does_not_survive() {
        let fault = |seen_by: Option<&str>| Fault {
            name: "x".into(),
            breaks: "y".into(),
            file: "src/x.rs".into(),
            within: None,
            original: "a".into(),
            faulty: "b".into(),
            suites: Vec::new(),
            seen_by: seen_by.map(str::to_owned),
            equivalent: None,
            area: String::new(),
        };
        let built = [suites::named("core").unwrap()];
        let of = |seen_by, seen| of_these(&fault(seen_by), &built, seen);
        assert_eq!(of(Some("edge a::b"), Seen::Survived), Seen::NotTried("edge"));
        assert_eq!(of(Some("core a::b"), Seen::Survived), Seen::Survived);
        assert_eq!(of(None, Seen::Survived), Seen::Survived);
        let by = || Seen::By("core", Outcome::Hung, None);
        assert_eq!(of(Some("edge a::b"), by()), by(), "another may see it, too");
    }
}
