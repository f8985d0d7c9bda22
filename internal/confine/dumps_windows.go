package confine

// NoDumps does nothing: Windows' dumps do not ask the process.
func NoDumps() error { return nil }
