package proxy

import (
	"io"
	"net/http"
	"time"
)

const (
	// readOnIdle and readOnMost limit the reading of a body that is not wanted, as in
	// package strict: an app that is still sending reads its response only when all
	// is sent, and a connection that is closed before is reset.
	readOnIdle = 5 * time.Second
	readOnMost = 30 * time.Second
)

// readOn reads what is left of a body, while it comes. net/http reads only some of it,
// and none if the app has said that it closes the connection.
func readOn(body io.Reader, control *http.ResponseController) {
	last := time.Now().Add(readOnMost)
	for left := int64(maxDiscard); left > 0; {
		end := time.Now().Add(readOnIdle)
		if end.After(last) {
			end = last
		}
		_ = control.SetReadDeadline(end)
		n, err := io.CopyN(io.Discard, body, min(left, maxPeek))
		if left -= n; err != nil || !time.Now().Before(last) {
			return
		}
	}
}

// byStdServer reports whether net/http serves the request; package strict reads on by
// itself.
func byStdServer(in *http.Request) bool { return in.Context().Value(http.ServerContextKey) != nil }
