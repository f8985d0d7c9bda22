package confine

import "errors"

// Rules say what a confined process may still do. Paths that do not exist when Apply
// is called are left out.
type Rules struct {
	// Read are files, and directories with all beneath, that may be read. A file
	// that is replaced by another one needs its directory here: a rule belongs to
	// the file itself and not to its name.
	Read []string
	// Sockets are directories in which unix sockets may be made and removed.
	Sockets []string
	// Write are directories with all beneath in which files may be made, written,
	// renamed and removed.
	Write []string
	// AbstractSockets of others may be connected to.
	AbstractSockets bool
	// Ports are TCP ports that may be connected to.
	Ports []uint16
}

// InForce says what Apply achieved.
type InForce struct {
	ABI   int  // of Landlock; 1 and more
	Ports bool // from ABI 4 on, which is Linux 6.7
}

// ErrUnsupported means that this kernel, this container or this build cannot confine.
// The process is unchanged.
var ErrUnsupported = errors.New("confinement is not available")
