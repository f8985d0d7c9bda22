//go:build mutant_std_transport

package main

import (
	"net/http"

	"github.com/monite-proxy/monite-proxy/proxy/upstream"
)

// forApps breaks the proxy on purpose: the standard transport repeats requests
// on its own. make ledger-mutant builds this and expects the ledger to find it.
func forApps(t *upstream.Transport) http.RoundTripper {
	return &http.Transport{
		TLSClientConfig: t.TLS, MaxIdleConnsPerHost: t.MaxConns, DisableCompression: true,
		ResponseHeaderTimeout: t.ResponseHeaderTimeout,
	}
}
