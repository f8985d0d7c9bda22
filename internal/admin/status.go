package admin

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/monite-proxy/monite-proxy/tokencache"
)

// statusAnswer is the JSON of /status. Durations are seconds.
type statusAnswer struct {
	Version     string           `json:"version"`
	Environment string           `json:"environment"`
	Upstream    string           `json:"upstream"`
	Ready       bool             `json:"ready"`
	Problems    []string         `json:"problems"`
	Uptime      float64          `json:"uptime_seconds"`
	InFlight    int64            `json:"in_flight_requests"`
	Identities  []identityStatus `json:"identities"`
	// Credentials are left out where nobody tells of them.
	Credentials *CredentialsStatus `json:"credentials,omitempty"`
}

// identityStatus tells of one grant: its kind, and its user by a hash.
type identityStatus struct {
	GrantType string       `json:"grant_type"`
	UserHash  string       `json:"entity_user_hash,omitempty"`
	Default   bool         `json:"default"`
	State     string       `json:"state"`
	Age       float64      `json:"token_age_seconds"`
	Left      float64      `json:"token_seconds_left"`
	RefreshIn float64      `json:"refresh_in_seconds"`
	Idle      float64      `json:"idle_seconds"`
	Mints     int64        `json:"mints"`
	Failures  int64        `json:"failures"`
	LastError *errorStatus `json:"last_error"`
}

type errorStatus struct {
	Reason  string  `json:"reason"`
	Status  int     `json:"status,omitempty"`
	RetryIn float64 `json:"retry_in_seconds"`
}

func (h *Handler) status(w http.ResponseWriter, _ *http.Request) {
	ready, problems := h.config.Health.Ready()
	answer := statusAnswer{
		Version: h.config.Version, Environment: h.config.Environment, Upstream: h.config.Upstream,
		Ready: ready, Problems: append([]string{}, problems...),
		Uptime: seconds(time.Since(h.config.Started)), InFlight: h.config.InFlight(),
		Identities: []identityStatus{},
	}
	if h.config.Credentials != nil {
		credentials := h.config.Credentials()
		answer.Credentials = &credentials
	}
	for _, s := range h.config.Tokens.Status() {
		one := identityStatus{
			GrantType: string(s.Grant.Type), UserHash: hashID(s.Grant.EntityUserID), Default: s.Grant == h.config.Default,
			State: s.State, Age: seconds(s.Age), Left: seconds(s.Left), RefreshIn: seconds(s.RefreshIn), Idle: seconds(s.Idle),
			Mints: s.Mints, Failures: s.Failures,
		}
		if s.LastFailure != nil {
			one.LastError = &errorStatus{Reason: string(s.LastFailure.Reason), Status: s.LastFailure.Status, RetryIn: seconds(s.RetryIn)}
		}
		answer.Identities = append(answer.Identities, one)
	}
	slices.SortFunc(answer.Identities, func(a, b identityStatus) int {
		return strings.Compare(a.GrantType+a.UserHash, b.GrantType+b.UserHash)
	})
	writeJSON(w, http.StatusOK, answer)
}

// hashID names an entity user without telling who it is; the same user has the
// same hash in every process, so that two statuses can be compared.
func hashID(id string) string {
	if id == "" {
		return ""
	}
	sum := sha256.Sum256([]byte(id))
	return hex.EncodeToString(sum[:6])
}

// seconds, to the millisecond.
func seconds(d time.Duration) float64 { return float64(d.Milliseconds()) / 1000 }

func (h *Handler) version(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, map[string]string{
		"version": h.config.Version, "commit": h.config.Commit, "go": h.config.GoVersion,
	})
}

func writeJSON(w http.ResponseWriter, status int, value any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	_ = encoder.Encode(value)
}

var _ Tokens = (*tokencache.Cache)(nil)
