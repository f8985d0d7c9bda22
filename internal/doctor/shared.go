package doctor

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/monite-proxy/monite-proxy/proxy/upstream"
	"github.com/monite-proxy/monite-proxy/tokencache"
	"github.com/monite-proxy/monite-proxy/tokencache/redisstore"
)

// aclLine lists the rights that a user of the store needs, and no more.
const aclLine = "~monite-proxy:* resetchannels -@all +ping +select +evalsha +eval +time +getrange +get +set +del +pttl +pexpire +incr"

const (
	clockNote    = 5 * time.Second
	clockProblem = 30 * time.Second
)

// checkShared tries the store as a replica would. Apps are served without it, so its
// problems come last, and they are problems because it was configured.
func (e *examination) checkShared(ctx context.Context) {
	if e.Store == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, 2*stepTimeout)
	defer cancel()
	grant := tokencache.Grant{Type: tokencache.GrantType(e.cfg.GrantType), EntityUserID: e.cfg.EntityUserID}
	began := time.Now()
	x := e.Store.Examine(ctx, grant)
	first := finding{Result: fine, Took: time.Since(began).Round(100 * time.Microsecond).Seconds()}
	if x.Err != nil {
		f := sharedTrouble(x.Err)
		f.What = e.cfg.Redis.String() + ": " + f.What
		f.Result, f.Took = problem, first.Took
		e.report.add(f)
		return
	}
	first.Step, first.What = "shared store", e.cfg.Redis.String()+": connected, with the rights that are needed"
	e.report.add(first)
	e.report.add(e.sharedSpeed(x.RoundTrip))
	e.report.add(sharedClock(x.Offset))
	e.report.add(sharedEviction(x.Policy))
	e.report.add(sharedEntry(x))
}

// checkCollector tells of a collector of traces that cannot be reached. Apps do not
// notice, so it is advice.
func (e *examination) checkCollector(ctx context.Context) {
	if e.cfg.Traces == nil {
		return
	}
	address := net.JoinHostPort(e.cfg.Traces.Endpoint.Hostname(), upstream.Port(e.cfg.Traces.Endpoint))
	ctx, cancel := context.WithTimeout(ctx, stepTimeout)
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err == nil {
		_ = conn.Close()
		e.report.add(finding{Step: "traces", Result: fine, What: "connected to the collector at " + address})
		return
	}
	e.report.add(finding{Step: "traces", Result: note, What: "the collector at " + address + " cannot be reached: traces are lost, requests are not",
		Next: "check OTEL_EXPORTER_OTLP_ENDPOINT and the network policy"})
}

// sharedTroubles say for each kind of error how far the way to the store is open.
var sharedTroubles = map[string]finding{
	"connect":   {Step: "shared address", What: "cannot connect", Next: "check the address and the network policy"},
	"sentinel":  {Step: "shared address", What: "the Sentinels do not name a master", Next: "check the name in the URL: redis-cli -p 26379 sentinel masters"},
	"MOVED":     {Step: "shared address", What: "the Cluster sends us to a node that may not be asked", Next: "name a node with each port in MONITE_REDIS_URL"},
	"protocol":  {Step: "shared address", What: "what responds there does not speak the protocol of Redis", Next: "check host and port of MONITE_REDIS_URL"},
	"timeout":   silentStore,
	"closed":    silentStore,
	"tls":       {Step: "shared tls", What: "no TLS connection", Next: "name the CA in MONITE_REDIS_CA_FILE, and the host by a name of its certificate"},
	"NOAUTH":    {Step: "shared login", What: "NOAUTH: it wants a password", Next: "set MONITE_REDIS_PASSWORD or MONITE_REDIS_PASSWORD_FILE"},
	"WRONGPASS": {Step: "shared login", What: "WRONGPASS: it does not know this user with this password", Next: "check user and password"},
	"NOPERM":    {Step: "shared rights", What: "NOPERM: a right is missing, or scripts are not supported", Next: "ACL SETUSER … " + aclLine},
	"ERR":       {Step: "shared rights", What: "ERR: a right is missing, or scripts are not supported", Next: "ACL SETUSER … " + aclLine},
	"READONLY":  {Step: "shared rights", What: "READONLY: this is a replica", Next: "name the master, or the Sentinels that know it"},
	"OOM":       {Step: "shared rights", What: "OOM: it does not take writes", Why: "its memory is full", Next: "raise maxmemory"},
	"MISCONF":   {Step: "shared rights", What: "MISCONF: it does not take writes", Why: "it cannot save", Next: "look at the log of the store"},
}

var silentStore = finding{
	Step: "shared address", What: "it takes the connection, and does not respond",
	Next: "check host and port of MONITE_REDIS_URL, and whether the port speaks TLS: rediss:// and not redis://",
}

func sharedTrouble(err error) finding {
	failed, ok := errors.AsType[*redisstore.Error](err)
	if !ok {
		return finding{Step: "shared address", What: "no response in time", Next: "check the address, the network policy, and whether the port speaks TLS: rediss:// and not redis://"}
	}
	f, known := sharedTroubles[failed.Kind]
	if !known {
		f = finding{Step: "shared store", What: failed.Kind, Next: "look at the log of the store"}
	}
	if failed.Err != nil && f.Why == "" {
		f.Why = failed.Err.Error()
	}
	return f
}

func (e *examination) sharedSpeed(took time.Duration) finding {
	f := finding{Step: "shared speed", Result: fine, What: fmt.Sprintf("%v for a round trip; MONITE_REDIS_TIMEOUT is %v", took.Round(10*time.Microsecond), e.cfg.Redis.Timeout)}
	switch {
	case took > e.cfg.Redis.Timeout:
		f.Result, f.Next = problem, "bring the store nearer, or raise MONITE_REDIS_TIMEOUT: it counts as down"
	case took > e.cfg.Redis.Timeout/2:
		f.Result, f.Next = note, "bring the store nearer, or raise MONITE_REDIS_TIMEOUT"
	}
	return f
}

func sharedClock(offset time.Duration) finding {
	f := finding{Step: "shared clock", Result: fine, What: fmt.Sprintf("the store's clock is off by %v", offset.Round(time.Millisecond))}
	switch off := max(offset, -offset); {
	case off > clockProblem:
		f.Result, f.Next = problem, "set the clocks: beyond 30 s nothing is shared"
	case off > clockNote:
		f.Result, f.Next = note, "set the clocks: beyond 30 s nothing is shared"
	}
	return f
}

// sharedEviction looks whether write records may be evicted: then a key is free.
func sharedEviction(policy string) finding {
	f := finding{Step: "shared eviction", Result: fine, What: "maxmemory-policy is " + policy}
	switch {
	case policy == "":
		f.What = "maxmemory-policy is not known: these rights do not show it"
		f.Result, f.Next = note, "set it to noeviction: with any other an Idempotency-Key may be forgotten, and its write sent again"
	case policy != "noeviction": // all entries have an end, so volatile-* evicts them too
		f.Result, f.Why = note, "when memory is short, records of writes are evicted: an Idempotency-Key is then free, and its write may be sent again"
		f.Next = "CONFIG SET maxmemory-policy noeviction"
	}
	return f
}

func sharedEntry(x redisstore.Examination) finding {
	f := finding{Step: "shared entries", Result: fine}
	switch x.Entry {
	case "found":
		f.What = fmt.Sprintf("a token of the default grant is there, %v old", x.Age.Round(time.Second))
	case "foreign":
		f.Result, f.What = problem, "the entry for the default grant's token was not written with these credentials"
		f.Why, f.Next = "another program writes there", "restrict who may write to monite-proxy:* in the store"
	default:
		f.What = "no token of the default grant yet"
	}
	return f
}
