package clients

import (
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"testing"
)

const bearer = "a-token-of-the-origin"

// origin is an API on both loopbacks. With auth it is Monite: it mints, and wants
// the token that it gave. Without it is what a client reaches directly.
func origin(t *testing.T, auth bool) (port string) {
	t.Helper()
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/auth/token", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = fmt.Fprintf(w, `{"access_token":%q,"token_type":"Bearer","expires_in":1800}`, bearer)
	})
	list := func(w http.ResponseWriter, in *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("ETag", `"1"`)
		_, _ = fmt.Fprintf(w, `{"data":[{"id":"1","limit":%q}]}`, in.URL.Query().Get("limit"))
	}
	taken := func(status int) http.HandlerFunc {
		return func(w http.ResponseWriter, in *http.Request) {
			hash := sha256.New()
			n, err := io.Copy(hash, in.Body)
			if err != nil {
				return
			}
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(status)
			_, _ = fmt.Fprintf(w, `{"method":%q,"type":%q,"bytes":%d,"sha256":"%x"}`, in.Method, in.Header.Get("Content-Type"), n, hash.Sum(nil))
		}
	}
	mux.HandleFunc("GET /v1/payables", list)
	mux.HandleFunc("POST /v1/payables", taken(http.StatusCreated))
	mux.HandleFunc("POST /v1/files", taken(http.StatusOK))
	mux.HandleFunc("GET /v1/redirect", func(w http.ResponseWriter, in *http.Request) {
		// Absolute, as frameworks make it of the Host that they were called by.
		w.Header().Set("Location", "http://"+in.Host+"/v1/payables?limit=9")
		w.WriteHeader(http.StatusTemporaryRedirect)
	})
	// Refuses at once, and reads on so that a slow client can meet the response.
	mux.HandleFunc("POST /v1/refused", func(w http.ResponseWriter, in *http.Request) {
		const text = `{"error":{"message":"this file is not wanted"}}`
		controller := http.NewResponseController(w)
		_ = controller.EnableFullDuplex()
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Length", strconv.Itoa(len(text)))
		w.WriteHeader(http.StatusUnprocessableEntity)
		_, _ = io.WriteString(w, text)
		_ = controller.Flush()
		_, _ = io.Copy(io.Discard, in.Body)
	})
	handler := http.Handler(mux)
	if auth {
		handler = http.HandlerFunc(func(w http.ResponseWriter, in *http.Request) {
			if in.URL.Path != "/v1/auth/token" && in.Header.Get("Authorization") != "Bearer "+bearer {
				w.WriteHeader(http.StatusUnauthorized)
				return
			}
			mux.ServeHTTP(w, in)
		})
	}
	server := &http.Server{Handler: handler} //nolint:gosec // loopback, in a test
	t.Cleanup(func() { _ = server.Close() })
	first, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ = net.SplitHostPort(first.Addr().String())
	go func() { _ = server.Serve(first) }()
	if second, err := net.Listen("tcp", "[::1]:"+port); err == nil {
		go func() { _ = server.Serve(second) }()
	}
	return port
}
