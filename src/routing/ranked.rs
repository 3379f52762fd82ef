//! A set in order that knows of each key how many are smaller: positions in a line, and the first of
//! a line that another set has not, without a walk.
//!
//! A tree balanced by weight: the sizes of the parts, which the positions need, also say when a part
//! has become too heavy. With [`HEAVY`] and [`OUTER`] every part is at most three times as heavy as the
//! other after each change, so all takes as many steps as the logarithm of the size (Hirai and
//! Yamamoto, "Balancing weight-balanced trees", 2011). Sets of other people's know positions too, but
//! not the difference of two sets, and that is what a choice comes down to.

use std::cmp::Ordering;

/// A part weighs at most so many times what its neighbour weighs.
const HEAVY: usize = 3;

/// A heavy part whose inner part weighs less than so many times its outer one is turned once, else
/// twice.
const OUTER: usize = 2;

/// See the module.
#[derive(Debug, Clone)]
pub struct Ranked<K> {
    root: Part<K>,
}

type Part<K> = Option<Box<Node<K>>>;

#[derive(Debug, Clone)]
struct Node<K> {
    key: K,
    size: usize,
    left: Part<K>,
    right: Part<K>,
}

impl<K> Default for Ranked<K> {
    fn default() -> Self {
        Self { root: None }
    }
}

impl<K: Ord + Copy> Ranked<K> {
    /// How many there are.
    pub fn len(&self) -> usize {
        size(&self.root)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.root.is_none()
    }

    /// Adds a key; answers whether it is new.
    pub fn insert(&mut self, key: K) -> bool {
        insert(&mut self.root, key)
    }

    /// Removes a key; answers whether it was there.
    pub fn remove(&mut self, key: &K) -> bool {
        remove(&mut self.root, key)
    }

    /// How many keys are smaller, and whether this one is there.
    pub fn position(&self, key: &K) -> (usize, bool) {
        let (mut part, mut smaller) = (&self.root, 0);
        while let Some(node) = part {
            match key.cmp(&node.key) {
                Ordering::Less => part = &node.left,
                Ordering::Equal => return (smaller + size(&node.left), true),
                Ordering::Greater => {
                    smaller += size(&node.left) + 1;
                    part = &node.right;
                }
            }
        }
        (smaller, false)
    }

    /// Whether the key is there.
    pub fn contains(&self, key: &K) -> bool {
        self.position(key).1
    }

    /// How many keys are at most this one.
    pub fn up_to(&self, key: &K) -> usize {
        let (smaller, there) = self.position(key);
        smaller + usize::from(there)
    }

    /// The key with so many smaller ones.
    pub fn nth(&self, n: usize) -> Option<K> {
        self.nth_without(|_| (0, false), n)
    }

    /// The key with so many smaller ones, of which those are not counted that are left out: of a key of
    /// this set `without` says how many smaller ones are, and whether it is itself.
    pub fn nth_without(&self, without: impl Fn(&K) -> (usize, bool), n: usize) -> Option<K> {
        let (mut part, mut smaller) = (&self.root, 0);
        while let Some(node) = part {
            let here = smaller + size(&node.left);
            let (left_out, is_left_out) = without(&node.key);
            match n.cmp(&here.saturating_sub(left_out)) {
                Ordering::Less => part = &node.left,
                Ordering::Equal if !is_left_out => return Some(node.key),
                Ordering::Equal | Ordering::Greater => {
                    smaller = here + 1;
                    part = &node.right;
                }
            }
        }
        None
    }

    /// All keys, smallest first.
    pub fn iter(&self) -> impl Iterator<Item = K> + '_ {
        let mut path = Vec::new();
        descend(&self.root, &mut path);
        std::iter::from_fn(move || {
            let node = path.pop()?;
            descend(&node.right, &mut path);
            Some(node.key)
        })
    }

    /// Panics when the tree is not in order, or not in balance; for tests and the simulation.
    pub fn assert_invariants(&self) {
        let keys: Vec<K> = self.iter().collect();
        assert!(keys.is_sorted_by(|one, next| one < next), "the keys are in order, each once");
        assert_eq!(keys.len(), self.len(), "the size is the number of keys");
        assert_balanced(&self.root);
    }
}

impl<K: Ord + Copy> FromIterator<K> for Ranked<K> {
    fn from_iter<I: IntoIterator<Item = K>>(keys: I) -> Self {
        let mut set = Self::default();
        keys.into_iter().for_each(|key| {
            set.insert(key);
        });
        set
    }
}

fn size<K>(part: &Part<K>) -> usize {
    part.as_ref().map_or(0, |node| node.size)
}

fn weight<K>(part: &Part<K>) -> usize {
    size(part) + 1
}

fn descend<'a, K>(mut part: &'a Part<K>, path: &mut Vec<&'a Node<K>>) {
    while let Some(node) = part {
        path.push(node);
        part = &node.left;
    }
}

fn insert<K: Ord>(part: &mut Part<K>, key: K) -> bool {
    let Some(node) = part else {
        *part = Some(Box::new(Node { key, size: 1, left: None, right: None }));
        return true;
    };
    let is_new = match key.cmp(&node.key) {
        Ordering::Less => insert(&mut node.left, key),
        Ordering::Equal => false,
        Ordering::Greater => insert(&mut node.right, key),
    };
    if is_new {
        balance(part);
    }
    is_new
}

fn remove<K: Ord>(part: &mut Part<K>, key: &K) -> bool {
    let Some(node) = part else { return false };
    let was_there = match key.cmp(&node.key) {
        Ordering::Less => remove(&mut node.left, key),
        Ordering::Greater => remove(&mut node.right, key),
        Ordering::Equal => {
            match remove_first(&mut node.right) {
                Some(next) => node.key = next,
                None => *part = node.left.take(),
            }
            true
        }
    };
    if was_there {
        balance(part);
    }
    was_there
}

fn remove_first<K>(part: &mut Part<K>) -> Option<K> {
    if let Some(node) = part
        && node.left.is_some()
    {
        let first = remove_first(&mut node.left);
        balance(part);
        return first;
    }
    let node = part.take()?;
    *part = node.right;
    Some(node.key)
}

/// One key came or went below: counts anew, and turns what has become too heavy.
fn balance<K>(part: &mut Part<K>) {
    let Some(node) = part else { return };
    let (left, right) = (weight(&node.left), weight(&node.right));
    if right > HEAVY * left {
        if let Some(heavy) = &node.right
            && weight(&heavy.left) >= OUTER * weight(&heavy.right)
        {
            turn_right(&mut node.right);
        }
        turn_left(part);
    } else if left > HEAVY * right {
        if let Some(heavy) = &node.left
            && weight(&heavy.right) >= OUTER * weight(&heavy.left)
        {
            turn_left(&mut node.left);
        }
        turn_right(part);
    } else {
        count(node);
    }
}

fn count<K>(node: &mut Node<K>) {
    node.size = size(&node.left) + size(&node.right) + 1;
}

/// The right part comes up, and this becomes its left one.
fn turn_left<K>(part: &mut Part<K>) {
    let Some(mut down) = part.take() else { return };
    let Some(mut up) = down.right.take() else {
        *part = Some(down);
        return;
    };
    down.right = up.left.take();
    count(&mut down);
    up.left = Some(down);
    count(&mut up);
    *part = Some(up);
}

/// The left part comes up, and this becomes its right one.
fn turn_right<K>(part: &mut Part<K>) {
    let Some(mut down) = part.take() else { return };
    let Some(mut up) = down.left.take() else {
        *part = Some(down);
        return;
    };
    down.left = up.right.take();
    count(&mut down);
    up.right = Some(down);
    count(&mut up);
    *part = Some(up);
}

fn assert_balanced<K>(part: &Part<K>) {
    let Some(node) = part else { return };
    let (left, right) = (weight(&node.left), weight(&node.right));
    assert!(left <= HEAVY * right && right <= HEAVY * left, "{left} and {right} are in balance");
    assert_eq!(node.size, left + right - 1, "the sizes of the parts are added up");
    assert_balanced(&node.left);
    assert_balanced(&node.right);
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    /// What is done to a set: a key comes or goes. Few keys, so that they meet.
    fn changes() -> impl Strategy<Value = Vec<(bool, u8)>> {
        prop::collection::vec((prop::bool::weighted(0.6), 0..60u8), 0..200)
    }

    proptest! {
        #[test]
        fn is_a_set_in_order_that_knows_positions(changes in changes()) {
            let (mut set, mut naive) = (Ranked::default(), BTreeSet::new());
            for (comes, key) in changes {
                if comes {
                    prop_assert_eq!(set.insert(key), naive.insert(key));
                } else {
                    prop_assert_eq!(set.remove(&key), naive.remove(&key));
                }
                set.assert_invariants();
            }
            prop_assert!(set.iter().eq(naive.iter().copied()));
            prop_assert_eq!(set.is_empty(), naive.is_empty());
            for key in 0..60 {
                let position = (naive.range(..key).count(), naive.contains(&key));
                prop_assert_eq!(set.position(&key), position);
                prop_assert_eq!(set.up_to(&key), naive.range(..=key).count());
                let nth = naive.iter().nth(usize::from(key)).copied();
                prop_assert_eq!(set.nth(usize::from(key)), nth);
            }
        }

        #[test]
        fn knows_the_first_that_another_set_has_not(
            keys in prop::collection::btree_map(0..200u8, prop::bool::ANY, 0..100),
        ) {
            let set: Ranked<u8> = keys.keys().copied().collect();
            let without = keys.iter().filter(|(_, left_out)| **left_out).map(|(key, _)| *key);
            let without: Ranked<u8> = without.collect();
            let left = keys.iter().filter(|(_, left_out)| !**left_out).map(|(key, _)| *key);
            for (n, key) in left.clone().map(Some).chain([None]).enumerate() {
                prop_assert_eq!(set.nth_without(|key| without.position(key), n), key);
            }
        }
    }

    #[test]
    fn keys_that_come_in_order_make_no_list_of_it() {
        let mut set = Ranked::default();
        for key in 0..10_000 {
            set.insert(key);
        }
        set.assert_invariants();
        for key in 0..9_000 {
            set.remove(&key);
        }
        set.assert_invariants();
        assert_eq!(set.position(&9_500), (500, true));
    }
}
