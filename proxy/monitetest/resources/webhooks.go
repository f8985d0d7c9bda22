package resources

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"
)

// Mischief is a fault of one webhook, made on purpose.
type Mischief string

// The mischief that can be done to a webhook.
const (
	Lose    Mischief = "lose"    // it is never sent
	Repeat  Mischief = "repeat"  // it is sent twice
	Reorder Mischief = "reorder" // it is sent behind the next one
)

// retries are the pauses before a webhook is sent again.
var retries = []time.Duration{time.Second, 5 * time.Second, 30 * time.Second, 2 * time.Minute, 10 * time.Minute}

// outbox keeps the webhooks that are still to be sent.
type outbox struct {
	wake chan struct{} // has room for one

	mu      sync.Mutex // guards open and letters
	open    bool       // delivery is on
	letters []*letter
}

// letter is one event on its way to one subscription.
type letter struct {
	event        Doc
	subscription string // its id
	entityID     string
	delivery     string // id of the webhook_deliveries document
	attempt      int
	due          time.Time
	held         bool // until another one to the same subscription has gone
	sending      bool
}

func (o *outbox) clear() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.letters = nil
}

func (o *outbox) put(letters ...*letter) {
	o.mu.Lock()
	o.letters = append(o.letters, letters...)
	o.mu.Unlock()
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// notify addresses the event to every subscription that wants it. Nothing is
// addressed while delivery is off.
func (a *API) notify(event Doc, action string) {
	a.outbox.mu.Lock()
	open := a.outbox.open
	a.outbox.mu.Unlock()
	if !open {
		return
	}
	for _, s := range a.Store().At("", "webhook_subscriptions").All() {
		wanted := texts(s["event_types"])
		if s["status"] != "enabled" || s["object_type"] != event["object_type"] ||
			len(wanted) > 0 && !slices.Contains(wanted, action) && !slices.Contains(wanted, text(event["action"])) {
			continue
		}
		a.address(event, s)
	}
}

func (a *API) address(event, subscription Doc) {
	entityID := text(event["entity_id"])
	l := &letter{event: maps.Clone(event), subscription: text(subscription["id"]), entityID: entityID, delivery: a.newID("webhook_deliveries"), due: a.now()}
	l.event["webhook_subscription_id"] = l.subscription
	a.Store().At(entityID, "webhook_deliveries").Add(Doc{
		"id": l.delivery, "event_id": event["id"], "requests_made_count": 0, "response": nil, "response_status_code": nil,
		"url": subscription["url"], "was_successful": nil, "created_at": a.timestamp(),
		"object_type": event["object_type"], "event_action": event["action"],
	})
	var mischief Mischief
	if a.config.Mischief != nil {
		mischief = a.config.Mischief(text(event["action"]))
	}
	switch mischief {
	case Lose:
		return
	case Repeat:
		twin := *l
		a.outbox.put(l, &twin)
		return
	case Reorder:
		l.held = true
	}
	a.outbox.put(l)
}

// DeliverWebhooks sends events to the URLs of the webhook subscriptions until ctx
// ends. Until it is called, none is sent: a simulator opens no connections unasked.
//
// A webhook that does not get a 2xx is sent again after 1 s, 5 s, 30 s, 2 min and 10
// min, by the clock of the Config: moving that clock hurries them.
func (a *API) DeliverWebhooks(ctx context.Context) {
	client := &http.Client{
		Timeout:       10 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	a.outbox.mu.Lock()
	a.outbox.open = true
	a.outbox.mu.Unlock()
	defer func() {
		a.outbox.mu.Lock()
		a.outbox.open = false
		a.outbox.mu.Unlock()
		client.CloseIdleConnections()
	}()
	tick := time.NewTicker(100 * time.Millisecond) // the clock may have been moved
	defer tick.Stop()
	for {
		for l := a.outbox.take(a.now()); l != nil && ctx.Err() == nil; l = a.outbox.take(a.now()) {
			a.send(ctx, client, l)
		}
		select {
		case <-ctx.Done():
			return
		case <-a.outbox.wake:
		case <-tick.C:
		}
	}
}

// take returns the next letter that is due, and lets go what was held back for it.
// The letter stays in the outbox until done.
func (o *outbox) take(now time.Time) *letter {
	o.mu.Lock()
	defer o.mu.Unlock()
	for i, l := range o.letters {
		if l.held || l.sending || l.due.After(now) {
			continue
		}
		for _, earlier := range o.letters[:i] {
			if earlier.subscription == l.subscription {
				earlier.held = false
			}
		}
		l.sending = true
		return l
	}
	return nil
}

// done ends the sending of a letter, which is sent again later if it was refused. A
// letter that is no longer here belongs to data that was replaced.
func (o *outbox) done(l *letter, refused bool, now time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	i := slices.Index(o.letters, l)
	if i < 0 {
		return
	}
	if !refused || l.attempt == len(retries) {
		o.letters = slices.Delete(o.letters, i, i+1)
		return
	}
	l.sending, l.due = false, now.Add(retries[l.attempt])
	l.attempt++
}

// copied returns copies of all letters, none of them under way.
func copied(letters []*letter) []*letter {
	out := make([]*letter, len(letters))
	for i, l := range letters {
		twin := *l
		twin.sending = false
		out[i] = &twin
	}
	return out
}

func (a *API) send(ctx context.Context, client *http.Client, l *letter) {
	refused := false
	defer func() { a.outbox.done(l, refused, a.now()) }()
	subscription := a.Store().At("", "webhook_subscriptions").Get(l.subscription)
	if subscription == nil || subscription["status"] != "enabled" {
		return
	}
	body, err := json.Marshal(l.event)
	if err != nil {
		panic("resources: event is not JSON: " + err.Error())
	}
	status, response := a.post(ctx, client, subscription, body)
	if ctx.Err() != nil {
		return
	}
	_, _ = a.Store().At(l.entityID, "webhook_deliveries").Update(l.delivery, func(d Doc) error {
		d["requests_made_count"] = number(d["requests_made_count"]) + 1
		d["response"], d["response_status_code"], d["was_successful"] = response, nil, status/100 == 2
		if status != 0 {
			d["response_status_code"] = status
		}
		return nil
	})
	refused = status/100 != 2
}

// post sends one webhook, signed, and returns the status, 0 for none.
func (a *API) post(ctx context.Context, client *http.Client, subscription Doc, body []byte) (status int, response string) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, text(subscription["url"]), bytes.NewReader(body))
	if err != nil {
		return 0, err.Error()
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("User-Agent", "monite-sim")
	r.Header.Set("Monite-Signature", Sign(text(subscription["secret"]), a.now(), body))
	answer, err := client.Do(r)
	if err != nil {
		return 0, err.Error()
	}
	defer answer.Body.Close()
	start, _ := io.ReadAll(io.LimitReader(answer.Body, 1024))
	return answer.StatusCode, string(start)
}

// Sign returns the Monite-Signature of a webhook: the time, and the HMAC by
// SHA-256 of "<time>.<body>" under the subscription's secret.
func Sign(secret string, at time.Time, body []byte) string {
	seconds := strconv.FormatInt(at.Unix(), 10)
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(seconds + "."))
	mac.Write(body)
	return fmt.Sprintf("t=%s,v1=%s", seconds, hex.EncodeToString(mac.Sum(nil)))
}
