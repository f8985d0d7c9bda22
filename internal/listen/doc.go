// Package listen opens the listeners of the sidecar, and stops them without
// losing a connection: what the kernel has accepted is served before a listener
// closes.
//
// A listener is a TCP port, a unix socket, or a socket that the service manager
// has opened for us. The walk of one connection:
//
//   - listener.go: Open, Serve, Pause and Stop
//   - port.go: the sockets of a TCP address, which for localhost are two
//   - inherited.go: sockets of the service manager (LISTEN_FDS)
//   - socket.go: a unix socket as a file: how it is made, replaced and removed;
//     socket_unix.go and socket_windows.go: what the system says of that file;
//     chmod_linux.go and chmod_other.go: how its mode changes
//   - accept.go: the connections that a server gets: which users may connect, then TLS
//   - shares.go: how many connections each listener may have, of the descriptors
//     that the system gives (descriptors_*.go); crowd.go: which one makes room
//   - queue_linux.go: the kernel's queue at the end of a listener; queue_other.go:
//     other systems reset what is queued
//
// The package knows nothing of HTTP: a Server gets the connections. A caller opens a
// Listener, calls Serve once, and ends it with Stop. Close is for a Listener that is
// not served.
package listen
