package monitetest_test

import (
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/monite-proxy/monite-proxy/internal/wiretest"
	"github.com/monite-proxy/monite-proxy/proxy/monitetest"
)

// tags makes tags of these names, each of which is an event.
func (b *bench) tags(names ...string) {
	b.Helper()
	header := b.as("", monitetest.DemoEntityID)
	for _, name := range names {
		b.want(201, "POST", "/v1/tags", encode(map[string]any{"name": name}), header)
	}
}

func (b *bench) deliveries() []map[string]any {
	b.Helper()
	return b.want(200, "GET", "/v1/webhook_deliveries", "", b.as("", monitetest.DemoEntityID)).data(b.T)
}

func TestWebhookIsRetriedByTheClock(t *testing.T) {
	b := start(t, monitetest.Config{})
	h := newHook(t)
	h.refuse = 2
	b.deliver()
	b.subscribe(h, "tag")
	b.tags("a")
	refused := func(n int) bool { h.mu.Lock(); defer h.mu.Unlock(); return h.refuse == n }
	wiretest.Eventually(t, "the delivery", func() bool { return refused(1) })
	b.sim.Advance(2 * time.Second)
	wiretest.Eventually(t, "the delivery", func() bool { return refused(0) })
	b.sim.Advance(6 * time.Second)
	if got := h.got(t, 1); !slices.Equal(got, []string{"tag.created"}) || h.unsigned != 0 {
		t.Errorf("webhooks = %v, %d unsigned", got, h.unsigned)
	}
	wiretest.Eventually(t, "the delivery", func() bool { return b.deliveries()[len(b.deliveries())-1]["was_successful"] == true })
	if d := b.deliveries(); d[len(d)-1]["requests_made_count"] != 3.0 || d[len(d)-1]["response_status_code"] != 200.0 {
		t.Errorf("delivery = %v, want three requests and 200", d[len(d)-1])
	}
}

func TestWebhookMischief(t *testing.T) {
	tests := []struct {
		effect monitetest.Effect
		want   []string
	}{
		{monitetest.EffectWebhookLose, []string{"tag.created", "product.created"}},
		{monitetest.EffectWebhookRepeat, []string{"tag.created", "tag.created", "tag.created", "product.created"}},
		{monitetest.EffectWebhookReorder, []string{"tag.created", "tag.created", "product.created"}},
	}
	for _, tc := range tests {
		t.Run(string(tc.effect), func(t *testing.T) {
			b := start(t, monitetest.Config{})
			h := newHook(t)
			b.deliver()
			b.subscribe(h, "tag")
			b.subscribe(h, "product")
			b.sim.Inject(monitetest.Fault{Effect: tc.effect, Event: "tag.created", Times: 1})
			b.tags("struck", "spared")
			b.want(201, "POST", "/v1/products", `{"name":"end"}`, b.as("", monitetest.DemoEntityID))
			if got := h.got(t, len(tc.want)); !slices.Equal(got, tc.want) {
				t.Errorf("webhooks = %v, want %v", got, tc.want)
			}
			if left := b.sim.Faults(); len(left) != 0 {
				t.Errorf("faults left = %v", left)
			}
		})
	}
}

func TestNoWebhookUnasked(t *testing.T) {
	b := start(t, monitetest.Config{})
	h := newHook(t)
	b.subscribe(h, "tag")
	b.tags("early")
	b.deliver()
	b.tags("late")
	if got := h.got(t, 1); len(got) != 1 {
		t.Errorf("webhooks = %v, want that of the second tag alone", got)
	}
	id := b.want(200, "GET", "/v1/webhook_subscriptions?object_type=tag", "", b.as("", "")).data(t)[0]["id"].(string)
	b.want(200, "POST", "/v1/webhook_subscriptions/"+id+"/disable", "", b.as("", ""))
	count := len(b.deliveries())
	b.tags("unheard")
	if got := len(b.deliveries()); got != count {
		t.Errorf("deliveries = %d, want %d: the subscription is disabled", got, count)
	}
}

func TestRegeneratedSecretSignsAtOnce(t *testing.T) {
	b := start(t, monitetest.Config{})
	h := newHook(t)
	b.deliver()
	made := b.subscribe(h, "tag")
	renewed := b.want(200, "POST", "/v1/webhook_subscriptions/"+made["id"].(string)+"/regenerate_secret", "", b.as("", "")).json(t)
	if renewed["secret"] == made["secret"] {
		t.Fatal("the secret is the same")
	}
	h.mu.Lock()
	h.secrets[made["id"].(string)] = renewed["secret"].(string)
	h.mu.Unlock()
	b.tags("x")
	if h.got(t, 1); h.unsigned != 0 {
		t.Errorf("%d webhooks with the old secret", h.unsigned)
	}
	shown := b.want(200, "GET", "/v1/webhook_subscriptions/"+made["id"].(string), "", b.as("", "")).json(t)
	if shown["secret"] != nil {
		t.Errorf("the secret is shown again: %v", shown)
	}
}

func TestExpiredDialects(t *testing.T) {
	for _, status := range []int{400, 401, 403} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			b := start(t, monitetest.Config{})
			b.sim.Inject(monitetest.Fault{Route: "GET /v1/payables", Effect: monitetest.EffectExpired, Status: status, Times: 1})
			header := b.as("", monitetest.DemoEntityID)
			b.want(200, "GET", "/v1/payables/"+monitetest.DemoPayableID, "", header)
			if refused := b.want(status, "GET", "/v1/payables", "",
				header); refused.body != `{"error":{"message":"The token has been expired.","type":"unauthorized"}}` {
				t.Errorf("body = %s", refused.body)
			}
			b.want(200, "GET", "/v1/payables", "", header)
		})
	}
}

func TestShareStrikesTheSameRequestsForASeed(t *testing.T) {
	pattern := func(seed uint64) (struck string) {
		b := start(t, monitetest.Config{Seed: seed})
		header := b.as("", monitetest.DemoEntityID)
		b.sim.Inject(monitetest.Fault{Path: "/v1/tags", Status: http.StatusBadGateway, Share: 0.3})
		for range 40 {
			struck += fmt.Sprint(b.do("GET", "/v1/tags", "", header).status / 100)
		}
		return struck
	}
	first := pattern(1)
	if again := pattern(1); again != first {
		t.Errorf("seed 1 strikes %s, then %s", first, again)
	}
	if other := pattern(2); other == first {
		t.Errorf("seed 2 strikes as seed 1: %s", other)
	}
}
