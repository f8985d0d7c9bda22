//go:build !mutant_std_transport

package main

import (
	"net/http"

	"github.com/monite-proxy/monite-proxy/proxy/upstream"
)

// forApps is the transport of the apps' requests.
func forApps(t *upstream.Transport) http.RoundTripper { return t }
