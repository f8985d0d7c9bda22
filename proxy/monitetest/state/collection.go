package state

import (
	"maps"
	"slices"
	"sync"
	"sync/atomic"
)

// Collection is documents in the order of their making.
type Collection struct {
	mu   sync.RWMutex // guards next, rows and ids
	next int
	rows map[string]*Row
	ids  []string // in order of Row.Number
}

// Row numbers a document, so that a page can begin where another ended
// although documents come and go. A row is never changed.
type Row struct {
	Number int
	Doc    Doc

	// Rendered keeps what the API last made of the document.
	Rendered atomic.Value
}

// Get returns a document, or nil.
func (c *Collection) Get(id string) Doc {
	if r := c.Row(id); r != nil {
		return r.Doc
	}
	return nil
}

// Row returns a document's row, or nil.
func (c *Collection) Row(id string) *Row {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.rows[id]
}

// Rows returns all rows in the order of their making.
func (c *Collection) Rows() []*Row {
	c.mu.RLock()
	defer c.mu.RUnlock()
	rows := make([]*Row, len(c.ids))
	for i, id := range c.ids {
		rows[i] = c.rows[id]
	}
	return rows
}

// All returns all documents in the order of their making.
func (c *Collection) All() []Doc {
	rows := c.Rows()
	docs := make([]Doc, len(rows))
	for i, r := range rows {
		docs[i] = r.Doc
	}
	return docs
}

// Add stores a document under its "id".
func (c *Collection) Add(d Doc) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.add(d)
}

func (c *Collection) add(d Doc) {
	id, _ := d["id"].(string)
	if c.rows == nil {
		c.rows = map[string]*Row{}
	}
	number := c.next
	if old := c.rows[id]; old != nil {
		number = old.Number
	} else {
		c.ids = append(c.ids, id)
		c.next++
	}
	c.rows[id] = &Row{Number: number, Doc: d}
}

// AddUnless stores a document unless an existing one forbids it, in one step. It
// returns the one that does, or nil.
func (c *Collection) AddUnless(d Doc, forbids func(other Doc) bool) (other Doc) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, id := range c.ids {
		if forbids(c.rows[id].Doc) {
			return c.rows[id].Doc
		}
	}
	c.add(d)
	return nil
}

// Update replaces the document by what change makes of a copy. It returns nil
// if there is none; the error of change, if any, leaves everything as it was.
//
// The decision and the change are one step under the lock: of two calls that
// both want to pay a payable, one must find it paid. change must not use the
// collection.
func (c *Collection) Update(id string, change func(d Doc) error) (Doc, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := c.rows[id]
	if r == nil {
		return nil, nil
	}
	d := maps.Clone(r.Doc)
	if err := change(d); err != nil {
		return nil, err
	}
	c.rows[id] = &Row{Number: r.Number, Doc: d}
	return d, nil
}

// Remove deletes the document if allowed, which may be nil, says nothing
// against it. It returns what was removed, or nil.
func (c *Collection) Remove(id string, allowed func(d Doc) error) (Doc, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := c.rows[id]
	if r == nil {
		return nil, nil
	}
	if allowed != nil {
		if err := allowed(r.Doc); err != nil {
			return nil, err
		}
	}
	delete(c.rows, id)
	i := slices.Index(c.ids, id)
	c.ids = slices.Delete(c.ids, i, i+1)
	return r.Doc, nil
}

// Clear removes all documents.
func (c *Collection) Clear() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.rows, c.ids = nil, nil
}
