package admin

import (
	"bytes"
	"cmp"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/monite-proxy/monite-proxy/config"
	"github.com/monite-proxy/monite-proxy/internal/ids"
	"github.com/monite-proxy/monite-proxy/tokencache"
)

// Status is the JSON of /status, what the page shows and what the status
// command prints. Durations are seconds; moments are RFC 3339 in UTC.
type Status struct {
	Version     string `json:"version"`
	Commit      string `json:"commit"`
	Go          string `json:"go"`
	Environment string `json:"environment"`
	Production  bool   `json:"production"`
	Upstream    string `json:"upstream"`
	// Listeners are the addresses that are open: data, admin and vend.
	Listeners  map[string][]string `json:"listeners"`
	Ready      bool                `json:"ready"`
	Problems   []string            `json:"problems"`
	Checks     []CheckStatus       `json:"checks"`
	Now        time.Time           `json:"now"`
	Started    time.Time           `json:"started"`
	Uptime     float64             `json:"uptime_seconds"`
	InFlight   int64               `json:"in_flight_requests"`
	Traffic    Traffic             `json:"traffic"`
	Identities []GrantStatus       `json:"identities"` // at most 1,000: see listed
	// IdentitiesTotal is the number of all cached grants. Truncated: the list has not
	// all of them.
	IdentitiesTotal     int  `json:"identities_total"`
	IdentitiesTruncated bool `json:"identities_truncated"`

	// UnknownWrites are writes that upstream may have executed, the latest first, at
	// most 1,000 of UnknownWritesTotal. They stay until the outcome is known, or
	// until they are old.
	UnknownWrites      []WriteStatus `json:"unknown_writes"`
	UnknownWritesTotal int           `json:"unknown_writes_total"`
	// FollowedWrites are read to their end although no app waits for them.
	FollowedWrites int64 `json:"followed_writes"`

	Mints    []MintStatus     `json:"mints"`    // the last 50, newest first
	Requests []RequestStatus  `json:"requests"` // the last 200, newest first
	Config   []config.Setting `json:"configuration"`
	// Named is left out without an identities file.
	Named *NamedStatus `json:"named_identities,omitempty"`
	// UpstreamTrouble is left out while upstream responds.
	UpstreamTrouble *UpstreamTrouble `json:"upstream_trouble,omitempty"`
	// Credentials are left out if the configuration has no source for them.
	Credentials *CredentialsStatus `json:"credentials,omitempty"`
	// Shared is left out without a store that replicas share.
	Shared *SharedStatus `json:"shared,omitempty"`

	// versions of the long lists: how many there were so far.
	versions map[string]int
}

// CheckStatus is one line of readiness. An empty problem is good news.
type CheckStatus struct {
	Name    string `json:"name"`
	Problem string `json:"problem,omitempty"`
}

// GrantStatus tells of one cached grant: its kind, and its user by a hash.
type GrantStatus struct {
	// Names are the identities that act by this grant: default, and those of the
	// identities file. Without any a request named the user.
	Names     []string `json:"names"`
	GrantType string   `json:"grant_type"`
	UserHash  string   `json:"entity_user_hash,omitempty"`
	Default   bool     `json:"default"`
	// State is fresh, stale, expired, or missing.
	State string `json:"state"`
	// Age and Left of the token are 0 if it is missing. RefreshIn is negative once
	// the refresh is due.
	Age       float64 `json:"token_age_seconds"`
	Left      float64 `json:"token_seconds_left"`
	RefreshIn float64 `json:"refresh_in_seconds"`
	Idle      float64 `json:"idle_seconds"`
	Mints     int64   `json:"mints"`
	// From says where the token came from: mint, or shared if another replica minted
	// it.
	From     string `json:"from,omitempty"`
	Failures int64  `json:"failures"`
	// LastMint is nil if it is not among the last 50 of all.
	LastMint  *MintStatus  `json:"last_mint"`
	LastError *ErrorStatus `json:"last_error"`
}

// ErrorStatus is why the last mint failed, and when the next try is due.
type ErrorStatus struct {
	Reason  string  `json:"reason"`
	Status  int     `json:"status,omitempty"`
	RetryIn float64 `json:"retry_in_seconds"`
}

// MintStatus is one mint that has ended.
type MintStatus struct {
	At        time.Time `json:"at"`
	GrantType string    `json:"grant_type"`
	UserHash  string    `json:"entity_user_hash,omitempty"`
	Result    string    `json:"result"` // ok, or the reason of the failure
	Status    int       `json:"status,omitempty"`
	Duration  float64   `json:"duration_seconds"`
	ExpiresIn float64   `json:"expires_in_seconds,omitempty"`
}

// RequestStatus is one request that has ended.
type RequestStatus struct {
	At time.Time `json:"at"`
	// Identity is default or the name of a named identity; empty if the request was
	// refused before it had one.
	Identity  string  `json:"identity,omitempty"`
	RequestID string  `json:"request_id"`
	Method    string  `json:"method"`
	Route     string  `json:"route"`
	Status    int     `json:"status"`
	Origin    string  `json:"origin"`
	ErrorType string  `json:"error_type,omitempty"`
	Outcome   string  `json:"outcome,omitempty"`
	GrantType string  `json:"grant_type,omitempty"`
	Duration  float64 `json:"duration_seconds"`
	Upstream  float64 `json:"upstream_seconds"`
	TokenWait float64 `json:"token_wait_seconds"`
	Replay    string  `json:"replay,omitempty"` // 401 or expired
	Retried   bool    `json:"retried,omitempty"`
	Aborted   bool    `json:"aborted,omitempty"`
	RepeatOf  string  `json:"repeat_of,omitempty"`
}

// current puts together what is known now.
func (h *Handler) current() *Status {
	now := time.Now()
	c := &h.config
	status := &Status{
		Version: c.Version, Commit: c.Commit, Go: c.GoVersion,
		Environment: c.Environment, Production: c.Production, Upstream: c.Upstream, Listeners: c.Listeners(),
		Problems: []string{}, Now: now.UTC(), Started: c.Started.UTC(), Uptime: seconds(now.Sub(c.Started)), InFlight: c.InFlight(),
		Traffic:    c.History.traffic(now),
		Identities: []GrantStatus{}, Mints: []MintStatus{}, Requests: []RequestStatus{}, Config: append([]config.Setting{}, c.Settings...),
	}
	if c.Credentials != nil {
		credentials := c.Credentials()
		status.Credentials = &credentials
	}
	if c.Shared != nil {
		shared := c.Shared()
		status.Shared = &shared
	}
	if c.Named != nil {
		status.Named = c.Named().withCounts(c.History)
	}
	status.Checks = c.Health.checks(true)
	for _, one := range status.Checks {
		if one.Problem != "" {
			status.Problems = append(status.Problems, one.Problem)
		}
	}
	h.unknownWrites(status)
	status.UpstreamTrouble = c.History.upstreamTrouble(now)
	requests, seen := c.History.lastRequests()
	mints, minted := c.History.lastMints()
	status.versions = map[string]int{"requests": seen, "mints": minted}
	status.Ready = len(status.Problems) == 0
	lastMint := map[tokencache.Grant]*MintStatus{}
	for _, m := range mints {
		shown := showMint(m)
		status.Mints = append(status.Mints, shown)
		if lastMint[m.mint.Grant] == nil {
			lastMint[m.mint.Grant] = &shown
		}
	}
	grants := c.Tokens.Status()
	status.IdentitiesTotal, status.IdentitiesTruncated = len(grants), len(grants) > listedIdentities
	for _, s := range listed(grants, c.Default) {
		one := showIdentity(s)
		one.Default, one.LastMint = s.Grant == c.Default, lastMint[s.Grant]
		one.Names = status.namesOf(one)
		status.Identities = append(status.Identities, one)
	}
	slices.SortFunc(status.Identities, func(a, b GrantStatus) int {
		return cmp.Or(cmp.Compare(a.GrantType, b.GrantType), cmp.Compare(a.UserHash, b.UserHash))
	})
	for _, line := range requests {
		status.Requests = append(status.Requests, showRequest(line))
	}
	return status
}

// namesOf returns the identities that act by a cached grant.
func (s *Status) namesOf(one GrantStatus) []string {
	names := []string{}
	if one.Default {
		names = append(names, defaultIdentity)
	}
	if s.Named != nil {
		for _, named := range s.Named.All {
			if named.GrantType == one.GrantType && named.UserHash == one.UserHash {
				names = append(names, named.Name)
			}
		}
	}
	return names
}

// defaultIdentity stands where a named identity has its name.
const defaultIdentity = "default"

// listedIdentities bounds the list: the JSON of a hundred thousand grants would
// have 35 MB, and to hash their users once a second would be work.
const listedIdentities = 1000

// listed returns the grants worth showing: the default, those with trouble, then
// those used last. If they are few, all, as they come.
func listed(all []tokencache.Status, standard tokencache.Grant) []tokencache.Status {
	if len(all) <= listedIdentities {
		return all
	}
	all = slices.Clone(all)
	slices.SortFunc(all, func(a, b tokencache.Status) int {
		return cmp.Or(cmp.Compare(interest(a.Grant == standard, a.LastFailure != nil), interest(b.Grant == standard, b.LastFailure != nil)),
			cmp.Compare(a.Idle, b.Idle))
	})
	return all[:listedIdentities]
}

// interest is less for what comes first.
func interest(isDefault, failing bool) int {
	switch {
	case isDefault:
		return 0
	case failing:
		return 1
	}
	return 2
}

func showIdentity(s tokencache.Status) GrantStatus {
	one := GrantStatus{
		GrantType: string(s.Grant.Type), UserHash: ids.Hash(s.Grant.EntityUserID),
		State: s.State, Age: seconds(s.Age), Left: seconds(s.Left), RefreshIn: seconds(s.RefreshIn), Idle: seconds(s.Idle),
		Mints: s.Mints, Failures: s.Failures,
	}
	switch {
	case s.State == "missing":
	case s.Shared:
		one.From = "shared"
	default:
		one.From = "mint"
	}
	if s.LastFailure != nil {
		one.LastError = &ErrorStatus{Reason: string(s.LastFailure.Reason), Status: s.LastFailure.Status, RetryIn: seconds(s.RetryIn)}
	}
	return one
}

func showMint(m minted) MintStatus {
	shown := MintStatus{
		At: m.ended.UTC(), GrantType: string(m.mint.Grant.Type), UserHash: ids.Hash(m.mint.Grant.EntityUserID),
		Result: "ok", Duration: seconds(m.mint.Duration), ExpiresIn: seconds(m.mint.ExpiresIn),
	}
	if m.mint.Err != nil {
		shown.Result, shown.Status = string(m.mint.Err.Reason), m.mint.Err.Status
	}
	return shown
}

func showRequest(line request) RequestStatus {
	r := &line.record
	who := r.Identity
	if who == "" && r.GrantType != "" {
		who = defaultIdentity
	}
	return RequestStatus{
		Identity: who,
		At:       line.ended.UTC(), RequestID: r.RequestID, Method: r.Method, Route: r.Route, Status: r.Status, Origin: r.Origin,
		ErrorType: r.ErrorType, Outcome: string(r.Outcome), GrantType: r.GrantType,
		Duration: seconds(r.Duration), Upstream: seconds(r.UpstreamTime), TokenWait: seconds(r.TokenWait),
		Replay: r.Replay, Retried: r.Retried, Aborted: r.Aborted, RepeatOf: r.RepeatOf,
	}
}

func (h *Handler) status(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, h.current())
}

// seconds, to the microsecond.
func seconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1e6 }

func (h *Handler) version(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, map[string]string{
		"version": h.config.Version, "commit": h.config.Commit, "go": h.config.GoVersion,
	})
}

func writeJSON(w http.ResponseWriter, status int, value any) {
	// Whole, with its length: a reader that does not read holds one copy of it, and no
	// encoder, until the server's write deadline.
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(value); err != nil {
		panic("admin: " + err.Error())
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(text.Len()))
	w.WriteHeader(status)
	_, _ = w.Write(text.Bytes())
}

var _ Tokens = (*tokencache.Cache)(nil)
