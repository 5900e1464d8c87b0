//! What was used last, up to so many bytes.

use std::borrow::Borrow;
use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;

/// Things that each weigh something; the one that nobody has used for longest goes first.
pub(super) struct Shelf<K, V> {
    things: HashMap<K, Thing<V>>,
    order: BTreeMap<u64, K>,
    next: u64,
    weight: usize,
    most: usize,
}

struct Thing<V> {
    value: V,
    weight: usize,
    used: u64,
}

impl<K: Hash + Eq + Clone, V: Clone> Shelf<K, V> {
    pub(super) fn new(most: usize) -> Self {
        Self { things: HashMap::new(), order: BTreeMap::new(), next: 0, weight: 0, most }
    }

    pub(super) fn get<Q: Hash + Eq + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        let thing = self.things.get_mut(key)?;
        if let Some(key) = self.order.remove(&thing.used) {
            thing.used = self.next;
            self.order.insert(self.next, key);
            self.next += 1;
        }
        Some(thing.value.clone())
    }

    /// What weighs more than all may is not kept.
    pub(super) fn put(&mut self, key: K, value: V, weight: usize) {
        self.remove(&key);
        if weight > self.most {
            return;
        }
        while self.weight.saturating_add(weight) > self.most {
            let Some((_, oldest)) = self.order.pop_first() else { break };
            self.remove(&oldest);
        }
        self.order.insert(self.next, key.clone());
        self.things.insert(key, Thing { value, weight, used: self.next });
        self.weight = self.weight.saturating_add(weight);
        self.next += 1;
    }

    fn remove(&mut self, key: &K) {
        if let Some(thing) = self.things.remove(key) {
            self.order.remove(&thing.used);
            self.weight = self.weight.saturating_sub(thing.weight);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_goes_and_nothing_is_too_heavy() {
        let mut shelf = Shelf::new(10);
        shelf.put("a", 1, 4);
        shelf.put("b", 2, 4);
        assert_eq!(shelf.get("a"), Some(1));
        shelf.put("c", 3, 4);
        assert_eq!((shelf.get("a"), shelf.get("b"), shelf.get("c")), (Some(1), None, Some(3)));
        shelf.put("d", 4, 11);
        assert_eq!((shelf.get("d"), shelf.get("a")), (None, Some(1)));
        shelf.put("a", 5, 10);
        assert_eq!((shelf.get("a"), shelf.get("c"), shelf.weight), (Some(5), None, 10));
    }
}
