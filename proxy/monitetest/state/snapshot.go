package state

import (
	"cmp"
	"maps"
	"slices"
)

// Clone returns a copy that changes apart from the original.
func (s *Store) Clone() *Store {
	s.mu.RLock()
	defer s.mu.RUnlock()
	out := &Store{Seed: s.Seed, collections: make(map[Key]*Collection, len(s.collections))}
	for key, c := range s.collections {
		c.mu.RLock()
		out.collections[key] = &Collection{next: c.next, rows: maps.Clone(c.rows), ids: slices.Clone(c.ids)}
		c.mu.RUnlock()
	}
	return out
}

// Keys returns the collections that were used, sorted.
func (s *Store) Keys() []Key {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return slices.SortedFunc(maps.Keys(s.collections), func(a, b Key) int {
		return cmp.Or(cmp.Compare(a.Owner, b.Owner), cmp.Compare(a.Path, b.Path))
	})
}

// Export returns all documents by owner and path. The partner's own are under
// "partner". Import reads the same form.
func (s *Store) Export() map[string]map[string][]Doc {
	out := map[string]map[string][]Doc{}
	for _, key := range s.Keys() {
		docs := s.At(key.Owner, key.Path).All()
		if len(docs) == 0 {
			continue
		}
		owner := cmp.Or(key.Owner, "partner")
		if out[owner] == nil {
			out[owner] = map[string][]Doc{}
		}
		out[owner][key.Path] = docs
	}
	return out
}
