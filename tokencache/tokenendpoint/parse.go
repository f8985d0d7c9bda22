package tokenendpoint

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/monite-proxy/monite-proxy/config/secret"
	"github.com/monite-proxy/monite-proxy/tokencache"
)

const (
	// assumedLifetime serves where expires_in is missing or no number. RFC 6749
	// section 5.1 only recommends the field; Monite's is required.
	assumedLifetime = time.Minute
	// maxExpiresIn keeps an absurd number from overflowing. The cache believes less.
	maxExpiresIn = 365 * 24 * time.Hour
)

// errNotMonite is for what a firewall, a captive portal or a gateway on the way
// writes: it says nothing about the credentials, and may be gone the next time.
var errNotMonite = errors.New("the response does not come from Monite's API")

// oauthError matches error codes as RFC 6749 spells them, such as invalid_client.
var oauthError = regexp.MustCompile(`^[a-z_]+$`)

// fromMonite reports whether a refusal is Monite's own. Its body is
// {"error":{...}}, or {"detail":...} where the validation of the request failed;
// {"error":"..."} is RFC 6749's (section 5.2), and a 401 needs no body. Whatever else
// it says has no place in our errors.
func fromMonite(response *http.Response) bool {
	body, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer+1))
	if err != nil || len(body) > maxAnswer {
		return false
	}
	if len(bytes.TrimSpace(body)) == 0 {
		return response.StatusCode == http.StatusUnauthorized
	}
	fields, err := objectFields(body)
	if err != nil {
		return false
	}
	if raw, ok := fields["error"]; ok {
		var of map[string]json.RawMessage
		var code string
		return json.Unmarshal(raw, &of) == nil && of["message"] != nil ||
			json.Unmarshal(raw, &code) == nil && oauthError.MatchString(code)
	}
	raw, ok := fields["detail"]
	return ok && len(raw) > 0 && (raw[0] == '[' || raw[0] == '"')
}

// parseResponse reads the body of a 200: a JSON object with access_token, and
// with expires_in and token_type where present. Names are matched exactly, and
// a repeated name is an error: encoding/json would take the last one, and
// another reader the first.
func parseResponse(body []byte) (tokencache.Token, error) {
	fields, err := objectFields(body)
	if err != nil {
		return tokencache.Token{}, err
	}
	var text string
	if raw, ok := fields["access_token"]; !ok || json.Unmarshal(raw, &text) != nil {
		return tokencache.Token{}, errors.New("no access_token text in the response")
	}
	if err := secret.CheckBearer(text); err != nil {
		return tokencache.Token{}, fmt.Errorf("access_token %w", err)
	}
	if raw, ok := fields["token_type"]; ok && string(raw) != "null" {
		var tokenType string
		// RFC 6749 section 5.1: the type is case-insensitive.
		if json.Unmarshal(raw, &tokenType) != nil || !strings.EqualFold(tokenType, "bearer") {
			return tokencache.Token{}, errors.New("token_type is not bearer")
		}
	}
	return tokencache.Token{AccessToken: secret.NewToken(text), ExpiresIn: parseExpiresIn(fields["expires_in"])}, nil
}

// objectFields splits one JSON object, and nothing after it, into its fields.
func objectFields(body []byte) (map[string]json.RawMessage, error) {
	errNotObject := fmt.Errorf("%w: it is not one JSON object", errNotMonite)
	if !json.Valid(body) {
		return nil, errNotObject
	}
	decoder := json.NewDecoder(bytes.NewReader(body))
	if start, err := decoder.Token(); err != nil || start != json.Delim('{') {
		return nil, errNotObject
	}
	fields := map[string]json.RawMessage{}
	for decoder.More() {
		name, err := decoder.Token()
		if err != nil {
			return nil, errNotObject
		}
		var value json.RawMessage
		if err := decoder.Decode(&value); err != nil {
			return nil, errNotObject
		}
		key, _ := name.(string)
		if _, twice := fields[key]; twice {
			return nil, errors.New("a field occurs twice in the response")
		}
		fields[key] = value
	}
	return fields, nil
}

// parseExpiresIn takes seconds as a JSON number or as a string that holds one. A
// fraction is dropped. A lifetime that is not positive gives 0.
func parseExpiresIn(raw json.RawMessage) time.Duration {
	text := string(raw)
	var quoted string
	if json.Unmarshal(raw, &quoted) == nil {
		text = strings.TrimSpace(quoted)
	}
	// ParseFloat also accepts what is not a number in JSON: Inf, 0x1p4, 1_800.
	if !json.Valid([]byte(text)) {
		return assumedLifetime
	}
	seconds, err := strconv.ParseFloat(text, 64)
	if err != nil && !errors.Is(err, strconv.ErrRange) {
		return assumedLifetime
	}
	seconds = math.Floor(seconds)
	if seconds <= 0 {
		return 0
	}
	if seconds >= maxExpiresIn.Seconds() {
		return maxExpiresIn
	}
	return time.Duration(seconds) * time.Second
}

// parseRetryAfter reads delay-seconds or an HTTP date (RFC 9110 section 10.2.3).
// Anything else, and a moment in the past, gives 0.
func parseRetryAfter(text string, now time.Time) time.Duration {
	text = strings.TrimSpace(text)
	// Out of range gives the largest number, as intended.
	if seconds, err := strconv.ParseUint(text, 10, 64); err == nil || errors.Is(err, strconv.ErrRange) {
		return time.Duration(min(seconds, uint64(maxExpiresIn/time.Second))) * time.Second
	}
	if date, err := http.ParseTime(text); err == nil {
		return min(max(date.Sub(now), 0), maxExpiresIn)
	}
	return 0
}
