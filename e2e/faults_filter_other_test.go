//go:build !linux

package e2e

import "net"

type segmentFilter []struct{}

var dropAll, dropThirty, dropLarge = segmentFilter{}, segmentFilter{}, segmentFilter{}

// filterSocket reports that there is no such thing here.
func filterSocket(any, segmentFilter) bool { return false }

func listenPlain(addr string) (net.Listener, error) { return net.Listen("tcp", addr) }
