package main

const (
	// mostAppConns bounds the connections of one listener for apps. Above it the one
	// that has been silent longest makes room.
	mostAppConns = 4096
	// keptBack are descriptors for what is no connection of an app: listeners, files,
	// the log, mints, the admin listener.
	keptBack = 64
)

// maxAppConns leaves as many descriptors for connections to upstream as apps have:
// each app that waits for its answer needs one.
func maxAppConns() int {
	return min(mostAppConns, max(int(maxDescriptors()-keptBack)/2, 1))
}
