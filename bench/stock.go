//go:build linux

package main

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/rs/zerolog"
)

// serveStock is the usual proxy: ReverseProxy with a tuned Transport, behind chi,
// with one log line per request.
func serveStock(args []string) {
	if len(args) != 3 {
		fmt.Fprintln(os.Stderr, "bench: stock PORT UPSTREAM-PORT CA")
		os.Exit(2)
	}
	pem, err := os.ReadFile(args[2])
	if err != nil {
		panic(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	origin := &url.URL{Scheme: "https", Host: "localhost:" + args[1]}
	logger := zerolog.New(os.Stderr).With().Timestamp().Logger()
	forward := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(origin)
			r.Out.Header.Set("Authorization", bearer)
			r.Out.Header.Set("X-Monite-Entity-Id", entity)
		},
		Transport: &http.Transport{
			TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS13}, MaxIdleConnsPerHost: 512, DisableCompression: true,
		},
	}
	router := chi.NewRouter()
	router.Handle("/*", http.HandlerFunc(func(w http.ResponseWriter, in *http.Request) {
		began := time.Now()
		forward.ServeHTTP(w, in)
		logger.Info().Str("method", in.Method).Str("path", in.URL.Path).Dur("duration_ms", time.Since(began)).Msg("request")
	}))
	server := &http.Server{Addr: "127.0.0.1:" + args[0], Handler: router, ReadHeaderTimeout: 5 * time.Second}
	fmt.Fprintln(os.Stderr, server.ListenAndServe())
	os.Exit(1)
}
