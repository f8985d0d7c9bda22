package proxy

import (
	"encoding/json"
	"net/http"

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
	ownJSON(w.Header(), len(text))
	w.Header().Set("Pragma", "no-cache") // RFC 6749 section 5.1
	n, _ := w.Write(text)
	return int64(n)
}
