package monitetest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

// Credentials are one pair that the token endpoint accepts.
type Credentials struct {
	ClientID     string `json:"client_id"`
	ClientSecret string `json:"client_secret"`
}

// Config says how a Simulator behaves. The zero value is a Monite without a
// rate limit, with the demo credentials and tokens that live for 30 minutes.
type Config struct {
	// ClientID and ClientSecret are the accepted pair. Empty means
	// DemoClientID and DemoClientSecret, each on its own.
	ClientID, ClientSecret string

	// ExtraCredentials are further accepted pairs, as Monite has during a
	// rotation. Each client id has its own rate limit.
	ExtraCredentials []Credentials

	// TokenLifetime is the lifetime of an access token. Zero means 30 minutes. What
	// is below a second still ends on time, and says expires_in 0.
	TokenLifetime time.Duration

	// ExpiredStatus is the status for an expired token: 401 (also zero), or 400 for
	// the older dialect. The body is the same in both.
	ExpiredStatus int

	// RateLimit is the number of requests per second and client id, the token
	// endpoint included. Zero means none; then no RateLimit header is sent.
	RateLimit int

	// Latency is added to every response of the API. Zero means none.
	Latency time.Duration

	// StreamInterval is the pause between the pieces of a streamed response. Zero
	// means 50 ms, below zero none.
	StreamInterval time.Duration

	// KeepRequests is the number of received requests that Requests can show. Zero
	// means 1024; below zero, none is kept.
	KeepRequests int

	// Now tells the time. Nil means time.Now.
	Now func() time.Time

	// Seed makes ids and the chance in faults repeatable. Zero means that they
	// differ from run to run. Access tokens are always random.
	Seed uint64

	// Data replaces the demo data, if it is not nil: documents by owner and
	// path, as GET /_sim/state shows them.
	Data map[string]map[string][]map[string]any
}

func (c Config) withDefaults() Config {
	if c.ClientID == "" {
		c.ClientID = DemoClientID
	}
	if c.ClientSecret == "" {
		c.ClientSecret = DemoClientSecret
	}
	if c.TokenLifetime == 0 {
		c.TokenLifetime = 30 * time.Minute
	}
	if c.ExpiredStatus == 0 {
		c.ExpiredStatus = http.StatusUnauthorized
	}
	if c.StreamInterval == 0 {
		c.StreamInterval = 50 * time.Millisecond
	}
	if c.KeepRequests == 0 {
		c.KeepRequests = 1024
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return c
}

// ParseData reads documents by owner and path from JSON, as GET /_sim/state
// writes them:
//
//	{"partner": {"entities": [...]}, "<entity id>": {"payables": [...]}}
func ParseData(text []byte) (data map[string]map[string][]map[string]any, err error) {
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	err = dec.Decode(&data)
	if wrong, is := errors.AsType[*json.UnmarshalTypeError](err); is {
		return nil, fmt.Errorf("at byte %d there is a JSON %s: want documents by owner and collection, such as {\"partner\": {\"entities\": [{...}]}}", wrong.Offset, wrong.Value)
	}
	if err != nil {
		return nil, err
	}
	if _, err := dec.Token(); err != io.EOF || data == nil {
		return nil, errors.New("want one JSON object")
	}
	return data, nil
}
