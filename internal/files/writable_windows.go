package files

// Writable is not known before it is tried.
func Writable(string) bool { return true }
