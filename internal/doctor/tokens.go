package doctor

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/monite-proxy/monite-proxy/config/secret"
	"github.com/monite-proxy/monite-proxy/internal/ids"
	"github.com/monite-proxy/monite-proxy/tokencache"
	"github.com/monite-proxy/monite-proxy/tokencache/tokenendpoint"
)

// checkIdentities mints a partner token, and one for each entity user that is
// named, and has each read something harmless.
func (e *examination) checkIdentities(ctx context.Context) {
	partner := tokencache.Grant{Type: tokencache.ClientCredentials}
	var token secret.String
	reached := !e.broken
	e.step(ctx, "credentials", func(ctx context.Context) finding {
		minted, f := e.mint(ctx, partner, "a partner token")
		token = minted
		return f
	})
	if e.broken && reached {
		e.report.add(finding{Step: "environment", Result: note, What: e.environmentHint()})
	} else {
		e.step(ctx, "environment", func(context.Context) finding {
			return finding{Result: fine, What: "these credentials belong to " + e.environmentName()}
		})
	}
	e.step(ctx, "api version", func(ctx context.Context) finding { return e.checkVersion(ctx, partner, token) })
	if e.broken {
		return
	}
	entities, actors := e.entities(), e.actors()
	for _, id := range entities[:min(len(entities), mostIdentities)] {
		e.aside(ctx, "entity", func(ctx context.Context) finding {
			f := e.checkEntity(ctx, partner, token, id)
			e.badEntities[id] = f.Result == problem
			return f
		})
	}
	for _, a := range actors[:min(len(actors), mostIdentities)] {
		e.aside(ctx, "entity user", func(ctx context.Context) finding { return e.checkActor(ctx, a) })
	}
	e.aside(ctx, "call", func(ctx context.Context) finding { return e.checkCall(ctx, token) })
	if e.cfg.AllowedEntityUserIDs.Any() || e.cfg.AllowedEntityIDs.Any() {
		e.report.add(finding{Step: "identities", Result: note, What: "ids that are allowed by * are not tried"})
	}
	if len(actors) > mostIdentities || len(entities) > mostIdentities {
		e.report.add(finding{Step: "identities", Result: note, What: fmt.Sprintf("only the first %d entities and %d users were tried", mostIdentities, mostIdentities)})
	}
}

// entities are those that the configuration names, each once: those of the
// variables, then those of the identities file.
func (e *examination) entities() (all []string) {
	add := func(ids []string) {
		for _, id := range ids {
			if !slices.Contains(all, id) {
				all = append(all, id)
			}
		}
	}
	add(e.cfg.AllowedEntityIDs.IDs())
	if e.cfg.Identities != nil {
		for _, identity := range e.cfg.Identities.All {
			add(identity.AllowedEntityIDs.IDs())
		}
	}
	return all
}

// aside is a step whose problem says nothing about the steps after it.
func (e *examination) aside(ctx context.Context, name string, check func(context.Context) finding) {
	if ctx.Err() != nil {
		e.report.add(finding{Step: name, Result: skipped, What: "not tried: out of time"})
		return
	}
	e.broken = false
	e.step(ctx, name, check)
	e.broken = false
}

func (e *examination) environmentName() string {
	switch {
	case e.cfg.Production():
		return "production (" + e.cfg.Environment + ")"
	case e.cfg.Environment == "sandbox":
		return "the sandbox"
	}
	return "the upstream of MONITE_API_URL"
}

// environmentHint is for credentials that were refused. They are not tried in
// another environment: that would give them away.
func (e *examination) environmentHint() string {
	switch {
	case e.cfg.Environment == "sandbox":
		return "this is the sandbox: credentials of production do not work here. If yours are of production, set MONITE_ENVIRONMENT to eu or us"
	case e.cfg.Production():
		return "this is production (" + e.cfg.Environment + "): credentials of the sandbox, or of the other region, do not work here. If yours are of the sandbox, set MONITE_ENVIRONMENT=sandbox"
	}
	return "the upstream is " + e.cfg.Upstream.Host + ", not one of Monite's own hosts: credentials of Monite's sandbox or production may not work there"
}

// mint gets one token, once.
func (e *examination) mint(ctx context.Context, grant tokencache.Grant, what string) (secret.String, finding) {
	ctx, cancel := context.WithTimeout(ctx, e.cfg.TokenTimeout)
	defer cancel()
	endpoint := &tokenendpoint.Endpoint{Origin: e.cfg.Upstream, APIVersion: e.cfg.APIVersion, Credentials: e.cfg.Credentials, Transport: e.seen}
	began := time.Now()
	token, err := endpoint.Fetch(ctx, grant)
	if took := time.Since(began); err == nil && took > e.cfg.HoldTimeout {
		return token.AccessToken, finding{Result: note, What: fmt.Sprintf("%s was minted in %v, and a request waits for %v (MONITE_HOLD_TIMEOUT)",
			what, took.Round(time.Millisecond), e.cfg.HoldTimeout),
			Why: "the first request that needs a new token gets 503 with Retry-After", Next: "raise MONITE_HOLD_TIMEOUT, or let apps send such a request again"}
	}
	if err == nil {
		return token.AccessToken, finding{Result: fine, What: fmt.Sprintf("%s was minted, good for %v", what, token.ExpiresIn.Round(time.Second))}
	}
	failure, ok := errors.AsType[*tokencache.FetchError](err)
	if !ok {
		failure = &tokencache.FetchError{Reason: tokencache.Unavailable}
	}
	f := e.explainMint(failure)
	if f.What == "" {
		f.What = fmt.Sprintf("the token endpoint refused %s (status %d)", what, failure.Status)
	}
	return secret.String{}, f
}

// explainMint names the cause of a mint that failed.
func (e *examination) explainMint(failure *tokencache.FetchError) finding {
	if failure.Status == 0 && failure.Err != nil && e.seen.err != nil && failure.Reason != tokencache.TimedOut {
		return e.explainSend(e.seen.err)
	}
	f := finding{Result: problem}
	switch {
	case failure.Status/100 == 3, e.seen.html && failure.Reason != tokencache.TimedOut:
		return e.explainStranger(max(failure.Status, http.StatusOK))
	case failure.Reason == tokencache.Rejected:
		return rejectedCredentials(failure.Status)
	case failure.Reason == tokencache.Throttled:
		f.What = "the token endpoint responds with 429: too many mints of this client id"
		if failure.RetryAfter > 0 {
			f.What += fmt.Sprintf("; it wants no requests for %v", failure.RetryAfter)
		}
		f.Why = "other programs mint with the same credentials, or restart again and again"
		f.Next = "find them; give every service its own sidecar, not its own minting"
	case failure.Reason == tokencache.TimedOut:
		f.What = fmt.Sprintf("the token endpoint did not respond within %v (MONITE_TOKEN_TIMEOUT)", e.cfg.TokenTimeout)
		f.Why = "Monite is overloaded, or something in between swallows requests"
		f.Next = "try again; if it is always slow, raise MONITE_TOKEN_TIMEOUT"
	case failure.Reason == tokencache.Malformed:
		f.What = "the token endpoint's response is not a token"
		f.Why = "a gateway or another program responds in its place"
		f.Next = "check MONITE_API_URL"
	case failure.Status == http.StatusNotFound, failure.Status == http.StatusMethodNotAllowed:
		f.What = fmt.Sprintf("there is no token endpoint at %s (status %d)", e.cfg.Upstream, failure.Status)
		f.Why = "MONITE_API_URL names another API, or MONITE_API_VERSION does not exist"
		f.Next = "check MONITE_API_URL and MONITE_API_VERSION"
	default:
		f.What = fmt.Sprintf("the token endpoint is in trouble (status %d)", failure.Status)
		f.Why = "Monite itself, or a gateway in front of it, is down: nothing is wrong here"
		f.Next = "try again in a minute; look at Monite's status page"
	}
	return f
}

// rejectedCredentials leaves What to the caller, which knows what was refused.
func rejectedCredentials(status int) finding {
	f := finding{Result: problem, Why: "the client id or the client secret is wrong, was rotated, or belongs to another environment",
		Next: "compare MONITE_CLIENT_ID and MONITE_CLIENT_SECRET with the credentials in Monite's partner portal"}
	switch status {
	case http.StatusForbidden:
		f.Why = "the credentials are known but not allowed: the account is disabled, or calls from this address are not"
		f.Next = "ask Monite's support about the account"
	case http.StatusUnprocessableEntity, http.StatusBadRequest:
		f.Why = "the client id or secret is not in the form that Monite wants: a UUID each, without quotes or spaces around it; or MONITE_API_VERSION is not accepted"
	}
	return f
}

func (e *examination) checkVersion(ctx context.Context, grant tokencache.Grant, token secret.String) finding {
	status, _ := e.read(ctx, grant, token, "", "/v1/entities?limit=1")
	switch status {
	case http.StatusOK:
		return finding{Result: fine, What: e.cfg.APIVersion + " is accepted, and the partner token may list entities"}
	case http.StatusForbidden:
		return finding{Result: note, What: e.cfg.APIVersion + " is accepted, but the partner token may not list entities (status 403)"}
	case http.StatusBadRequest, http.StatusNotFound, http.StatusUnprocessableEntity:
		return finding{Result: problem, What: fmt.Sprintf("Monite does not accept version %s (status %d)", e.cfg.APIVersion, status),
			Why: "Monite does not have this MONITE_API_VERSION", Next: "set it to one that Monite's documentation lists, or leave it out"}
	}
	return e.refused(status)
}

func (e *examination) checkEntity(ctx context.Context, grant tokencache.Grant, token secret.String, id string) finding {
	name := "entity " + ids.Short(id)
	switch status, _ := e.read(ctx, grant, token, id, "/v1/entities/"+id); status {
	case http.StatusOK:
		return finding{Result: fine, What: name + " exists and can be read"}
	case http.StatusNotFound, http.StatusForbidden:
		return finding{Result: problem, What: fmt.Sprintf("%s is not one of this partner (status %d)", name, status),
			Why:  "it belongs to another partner or to another environment, or was deleted",
			Next: "check MONITE_ENTITY_ID, MONITE_ALLOWED_ENTITY_IDS and the identities file"}
	default:
		return e.refusedTo(name, status)
	}
}
