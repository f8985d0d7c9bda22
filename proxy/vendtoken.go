package proxy

import (
	"encoding/json"
	"net/http"
	"strconv"

	"github.com/monite-proxy/monite-proxy/config/secret"
)

// vendedToken is Monite's response to POST /v1/auth/token.
type vendedToken struct {
	AccessToken string `json:"access_token"`
	ExpiresIn   int64  `json:"expires_in"`
	TokenType   string `json:"token_type"`
}

// writeToken is the one place where a token leaves for good. It stands alone so
// that nothing else comes near the text.
func writeToken(w http.ResponseWriter, token secret.String, seconds int64) (written int64) {
	text, _ := json.Marshal(vendedToken{token.Reveal(), seconds, "Bearer"}) //nolint:gosec // its purpose is to hand it out
	header := w.Header()
	header.Set("Content-Type", "application/json")
	header.Set("Content-Length", strconv.Itoa(len(text)))
	header.Set("Cache-Control", "no-store") // RFC 6749 section 5.1, and the next
	header.Set("Pragma", "no-cache")
	header.Set("X-Content-Type-Options", "nosniff")
	n, _ := w.Write(text)
	return int64(n)
}
