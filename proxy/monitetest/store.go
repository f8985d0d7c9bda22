package monitetest

import (
	"maps"
	"slices"
	"sync"
	"time"
)

// store holds everything that was created, in collections.
type store struct {
	mu          sync.RWMutex // guards collections
	collections map[collectionKey]*collection
}

// collectionKey names a collection: the entity that owns it, empty for the
// partner's own, and the path without /v1, such as
// "counterparts/<id>/addresses".
type collectionKey struct{ entityID, path string }

func newStore() *store { return &store{collections: map[collectionKey]*collection{}} }

// at returns the collection, made on the first use.
func (st *store) at(entityID, path string) *collection {
	key := collectionKey{entityID, path}
	st.mu.RLock()
	found := st.collections[key]
	st.mu.RUnlock()
	if found != nil {
		return found
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.collections[key] == nil {
		st.collections[key] = &collection{rows: map[string]*row{}}
	}
	return st.collections[key]
}

// look is at without the making: reads of what is not there leave no trace.
func (st *store) look(entityID, path string) *collection {
	st.mu.RLock()
	defer st.mu.RUnlock()
	if found := st.collections[collectionKey{entityID, path}]; found != nil {
		return found
	}
	return &collection{}
}

// entityUser finds a user by id alone, as the token endpoint must.
func (st *store) entityUser(id string) (entityID string, user doc) {
	for _, entity := range st.look("", "entities").all() {
		entityID, _ := entity["id"].(string)
		if user := st.look(entityID, "entity_users").get(id); user != nil {
			return entityID, user
		}
	}
	return "", nil
}

// collection is documents in the order of their making.
type collection struct {
	mu   sync.RWMutex // guards next, rows and ids
	next int
	rows map[string]*row
	ids  []string // in order of row.number
}

// row numbers a document, so that a page can begin where another ended
// although documents come and go. A row is never changed.
type row struct {
	number int
	doc    doc
}

func (c *collection) get(id string) doc {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if r := c.rows[id]; r != nil {
		return r.doc
	}
	return nil
}

func (c *collection) snapshot() []*row {
	c.mu.RLock()
	defer c.mu.RUnlock()
	rows := make([]*row, len(c.ids))
	for i, id := range c.ids {
		rows[i] = c.rows[id]
	}
	return rows
}

func (c *collection) all() []doc {
	rows := c.snapshot()
	docs := make([]doc, len(rows))
	for i, r := range rows {
		docs[i] = r.doc
	}
	return docs
}

// add stores d under its "id".
func (c *collection) add(d doc) {
	id, _ := d["id"].(string)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.rows[id] == nil {
		c.ids = append(c.ids, id)
	}
	c.rows[id] = &row{c.next, d}
	c.next++
}

// update replaces the document by what change makes of a copy. It returns nil
// if there is none, or the refusal of change, and then nothing is stored.
//
// The decision and the change are one step under the lock: of two calls that
// both want to pay a payable, one must find it paid.
func (c *collection) update(id string, now time.Time, change func(d doc) *answer) (doc, *answer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := c.rows[id]
	if r == nil {
		return nil, nil
	}
	d := maps.Clone(r.doc)
	if refusal := change(d); refusal != nil {
		return nil, refusal
	}
	d["updated_at"] = timestamp(now)
	c.rows[id] = &row{r.number, d}
	return d, nil
}

// remove deletes the document if allowed says nothing against it.
func (c *collection) remove(id string, allowed func(d doc) *answer) (removed bool, refusal *answer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := c.rows[id]
	if r == nil {
		return false, nil
	}
	if allowed != nil {
		if refusal := allowed(r.doc); refusal != nil {
			return false, refusal
		}
	}
	delete(c.rows, id)
	i := slices.Index(c.ids, id)
	c.ids = slices.Delete(c.ids, i, i+1)
	return true, nil
}

// timestamp writes times as Monite does.
func timestamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000000+00:00") }

func dateOnly(t time.Time) string { return t.UTC().Format(time.DateOnly) }
