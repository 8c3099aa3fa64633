//! A bounded memory of what was found lately.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};

/// A map that forgets: what was not asked for while as many others came as it has places. It holds
/// two generations; the older one is dropped whole when the younger one is full, so that no
/// operation takes longer than a look-up, and nothing has to be swept.
///
/// It knows no time: who stores something that ends stores its end beside it.
pub(crate) struct Recent<K, V> {
    generations: Mutex<Generations<K, V>>,
    most_in_each: usize,
}

struct Generations<K, V> {
    younger: HashMap<K, V>,
    older: HashMap<K, V>,
}

impl<K: Eq + Hash, V: Clone> Recent<K, V> {
    /// At most `most` entries, and at least two.
    pub(crate) fn new(most: usize) -> Self {
        Self {
            generations: Mutex::new(Generations {
                younger: HashMap::new(),
                older: HashMap::new(),
            }),
            most_in_each: (most / 2).max(1),
        }
    }

    pub(crate) fn insert(&self, key: K, value: V) {
        self.with(|generations| generations.insert(key, value, self.most_in_each));
    }

    pub(crate) fn find<Q: Eq + Hash + ?Sized>(&self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        self.with(|generations| {
            if let Some(value) = generations.younger.get(key) {
                return Some(value.clone());
            }
            let (key, value) = generations.older.remove_entry(key)?;
            generations.insert(key, value.clone(), self.most_in_each);
            Some(value)
        })
    }

    pub(crate) fn forget<Q: Eq + Hash + ?Sized>(&self, key: &Q)
    where
        K: Borrow<Q>,
    {
        self.with(|generations| {
            generations.younger.remove(key);
            generations.older.remove(key);
        });
    }

    fn with<T>(&self, act: impl FnOnce(&mut Generations<K, V>) -> T) -> T {
        act(&mut self
            .generations
            .lock()
            .unwrap_or_else(PoisonError::into_inner))
    }
}

impl<K: Eq + Hash, V> Generations<K, V> {
    fn insert(&mut self, key: K, value: V, most: usize) {
        self.older.remove(&key);
        if self.younger.len() >= most && !self.younger.contains_key(&key) {
            self.older = std::mem::take(&mut self.younger);
        }
        self.younger.insert(key, value);
    }
}

impl<K, V> fmt::Debug for Recent<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recent").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_asked_for_stays_and_the_rest_is_forgotten() {
        let recent = Recent::new(4);
        for key in 0..100 {
            recent.insert(key, key);
            assert_eq!(recent.find(&0), Some(0), "after {key}");
        }
        assert_eq!(recent.find(&50), None);
    }

    #[test]
    fn what_is_forgotten_is_gone_from_both_generations() {
        let recent = Recent::new(4);
        for key in 0..4 {
            recent.insert(key, ());
        }
        for key in 0..4 {
            recent.forget(&key);
            assert_eq!(recent.find(&key), None);
        }
    }

    proptest! {
        #[test]
        fn it_never_has_more_than_its_places_nor_a_value_that_was_replaced(
            operations in proptest::collection::vec((0_u8..3, 0_u8..12), 0..200),
            most in 2_usize..8,
        ) {
            let recent = Recent::new(most);
            let mut last = HashMap::new();
            for (value, (operation, key)) in operations.into_iter().enumerate() {
                match operation {
                    0 => {
                        recent.insert(key, value);
                        last.insert(key, value);
                    }
                    1 => {
                        recent.forget(&key);
                        last.remove(&key);
                    }
                    _ => {
                        if let Some(found) = recent.find(&key) {
                            prop_assert_eq!(last.get(&key), Some(&found));
                        }
                    }
                }
                let held = recent.with(|held| held.younger.len() + held.older.len());
                prop_assert!(held <= most);
            }
        }
    }
}
