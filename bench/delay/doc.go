//go:build linux

// Command delay measures what a person feels: how long a call takes when upstream is
// 50 ms away. It needs root, for network namespaces, and Linux.
//
//	main.go     the contenders side by side: what is measured, and the table
//	link.go     two namespaces with a link between them that delays each packet, by
//	            TUN devices: the handshakes of TCP and TLS take as long as on a real one
//	upstream.go an https server in the far namespace, and its certificate
//	process.go  the sidecar and nginx in the near one
//
// Run it with make bench-delay. DELAY_IDLE (35s,60s,120s) and DELAY_FOR (60s, for each
// rate) make it shorter.
package main
