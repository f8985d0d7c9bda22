package confine

// NoDumps: who writes dumps here asks no process.
func NoDumps() error { return nil }
