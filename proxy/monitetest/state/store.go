package state

import "sync"

// Doc is a JSON object. A Doc in a collection is never changed, only replaced.
type Doc = map[string]any

// Key names a collection: the entity that owns it, empty for the partner's
// own, and the path without /v1, such as "counterparts/<id>/addresses".
type Key struct{ Owner, Path string }

// Store holds everything that was created. The zero value is an empty store.
type Store struct {
	// Seed returns the documents that a collection begins with; nil means none.
	// It is called once per collection, on the first use.
	Seed func(Key) []Doc

	mu          sync.RWMutex // guards collections
	collections map[Key]*Collection
}

// At returns a collection, which may be empty.
func (s *Store) At(owner, path string) *Collection {
	key := Key{owner, path}
	s.mu.RLock()
	found := s.collections[key]
	s.mu.RUnlock()
	if found != nil {
		return found
	}
	made := &Collection{}
	if s.Seed != nil {
		for _, d := range s.Seed(key) {
			made.Add(d)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.collections == nil {
		s.collections = map[Key]*Collection{}
	}
	if found := s.collections[key]; found != nil {
		return found
	}
	s.collections[key] = made
	return made
}

// Has reports whether the collection was used before.
func (s *Store) Has(owner, path string) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.collections[Key{owner, path}] != nil
}
