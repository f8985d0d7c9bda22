package upstream

// Stats is a snapshot of the connections.
type Stats struct {
	Open    int // connections and dials under way
	Idle    int
	Waiting int // requests waiting because of MaxConns
}

func (t *Transport) Stats() Stats { return t.pool.snapshot() }

func (p *pool) snapshot() Stats {
	p.mu.Lock()
	defer p.mu.Unlock()
	return Stats{Open: p.open, Idle: len(p.idle), Waiting: p.waiters.Len()}
}
