//! A map from ids that are handed out in order: a sorted vector.
//!
//! New ids go to the end and old ones are found by bisection. Iteration is in the order of ids, so
//! the same inputs give the same outputs. In WebAssembly it is a fraction of a B-tree's code, which is
//! compiled anew for each type of value.

/// The map.
#[derive(Debug)]
pub(crate) struct IdMap<K, V> {
    entries: Vec<(K, V)>,
}

impl<K, V> Default for IdMap<K, V> {
    fn default() -> Self {
        Self { entries: Vec::new() }
    }
}

impl<K: Ord + Copy, V> IdMap<K, V> {
    fn find(&self, id: &K) -> Result<usize, usize> {
        // Most are at the end, or there are few.
        match self.entries.last() {
            Some((last, _)) if last == id => Ok(self.entries.len() - 1),
            Some((last, _)) if last < id => Err(self.entries.len()),
            _ => self.entries.binary_search_by(|(key, _)| key.cmp(id)),
        }
    }

    #[inline]
    pub(crate) fn get(&self, id: &K) -> Option<&V> {
        self.find(id).ok().map(|at| &self.entries[at].1)
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, id: &K) -> Option<&mut V> {
        self.find(id).ok().map(|at| &mut self.entries[at].1)
    }

    /// Enters a value; the earlier one.
    pub(crate) fn insert(&mut self, id: K, value: V) -> Option<V> {
        match self.find(&id) {
            Ok(at) => Some(std::mem::replace(&mut self.entries[at].1, value)),
            Err(at) => {
                self.entries.insert(at, (id, value));
                None
            }
        }
    }

    /// The value of an id, which is entered if it is not there.
    pub(crate) fn or_default(&mut self, id: K) -> &mut V
    where
        V: Default,
    {
        let at = match self.find(&id) {
            Ok(at) => at,
            Err(at) => {
                self.entries.insert(at, (id, V::default()));
                at
            }
        };
        &mut self.entries[at].1
    }

    pub(crate) fn remove(&mut self, id: &K) -> Option<V> {
        self.find(id).ok().map(|at| self.entries.remove(at).1)
    }

    pub(crate) fn contains_key(&self, id: &K) -> bool {
        self.find(id).is_ok()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(crate) fn first_key_value(&self) -> Option<(&K, &V)> {
        self.iter().next()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.entries.iter().map(|(key, value)| (key, value))
    }

    pub(crate) fn values_mut(&mut self) -> impl Iterator<Item = &mut V> {
        self.entries.iter_mut().map(|(_, value)| value)
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = &K> {
        self.entries.iter().map(|(key, _)| key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_in_order_whatever_the_order_of_entering() {
        let mut map = IdMap::default();
        for id in [3u64, 1, 7, 5, 1] {
            map.insert(id, id * 10);
        }
        assert_eq!(map.keys().copied().collect::<Vec<_>>(), [1, 3, 5, 7]);
        assert_eq!((map.get(&5), map.get(&4), map.get(&9)), (Some(&50), None, None));
        assert_eq!((map.remove(&3), map.remove(&3)), (Some(30), None));
        assert_eq!(map.first_key_value(), Some((&1, &10)));
    }
}
