package monitetest_test

import (
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/monite-proxy/monite-proxy/internal/wiretest"
	"github.com/monite-proxy/monite-proxy/proxy/monitetest"
)

// What is under way when a snapshot is taken ends after it was restored, each time.
func TestSnapshotKeepsWhatIsUnderWay(t *testing.T) {
	b := start(t, monitetest.Config{})
	header := b.as("", monitetest.DemoEntityID)
	id := func(r reply) string { return r.json(t)["id"].(string) }
	b.want(200, "POST", "/v1/payables/"+monitetest.DemoPayableID+"/approve_payment_operation", "", header)
	batch := id(b.want(200, "POST", "/v1/batch_payments", encode(map[string]any{
		"payment_method": "us_ach", "payer_bank_account_id": b.want(200, "GET", "/v1/bank_accounts", "", header).data(t)[0]["id"],
		"payment_intents": []any{map[string]any{
			"object": map[string]any{"type": "payable", "id": monitetest.DemoPayableID},
			"recipient": map[string]any{
				"type": "counterpart", "id": monitetest.DemoCounterpartID,
				"bank_account_id": b.want(200, "GET", "/v1/counterparts/"+monitetest.DemoCounterpartID+"/bank_accounts", "", header).data(t)[0]["id"],
			},
		}},
	}), header))
	export := id(b.want(200, "POST", "/v1/data_exports",
		`{"date_from":"2020-01-01","date_to":"2030-01-01","format":"csv","objects":[{"name":"payable","statuses":["new"]}]}`, header))
	task := id(b.want(202, "POST", "/v1/ocr_tasks", `{"file_url":"https://files.example/bill.pdf"}`, header))
	mail := b.want(200, "POST", "/v1/receivables/"+monitetest.DemoReceivableID+"/send", `{"subject_text":"S","body_text":"B"}`, header).json(t)["mail_id"].(string)
	b.sim.Snapshot("under way")
	for range 2 {
		if !b.sim.Restore("under way") {
			t.Fatal("there is no such snapshot")
		}
		b.sim.Advance(3 * time.Second)
		for path, want := range map[string]string{
			"/v1/batch_payments/" + batch:                                       "succeeded",
			"/v1/payables/" + monitetest.DemoPayableID:                          "paid",
			"/v1/data_exports/" + export:                                        "succeeded",
			"/v1/ocr_tasks/" + task:                                             "success",
			"/v1/receivables/" + monitetest.DemoReceivableID + "/mails/" + mail: "sent",
		} {
			if got := b.want(200, "GET", path, "", header).json(t)["status"]; got != want {
				t.Errorf("%s: status = %v, want %s", path, got, want)
			}
		}
	}
}

func TestRestoreBringsTheClockBack(t *testing.T) {
	b := start(t, monitetest.Config{})
	header := b.as("", monitetest.DemoEntityID)
	item := "/v1/receivables/" + monitetest.DemoReceivableID
	b.want(200, "POST", item+"/issue", "", header)
	b.sim.Snapshot("issued")
	b.sim.Advance(40 * 24 * time.Hour)
	b.want(200, "POST", "/_sim/snapshots/issued/restore", "", nil)
	if ahead := time.Until(b.sim.Now()); ahead > time.Minute {
		t.Errorf("the clock is still %v ahead", ahead)
	}
	if got := b.want(200, "GET", item, "", header).json(t)["status"]; got != "issued" {
		t.Errorf("status = %v, want it issued as in the snapshot", got)
	}
}

// A webhook of what a restore or a reset undid is not sent again, one that was
// waiting in the snapshot is.
func TestRestoreAndResetForgetLaterWebhooks(t *testing.T) {
	for name, forget := range map[string]func(b *bench){
		"restore": func(b *bench) { b.sim.Restore("subscribed") },
		"reset":   func(b *bench) { b.sim.Reset() },
	} {
		t.Run(name, func(t *testing.T) {
			b := start(t, monitetest.Config{})
			h := newHook(t)
			h.refuse = 1
			b.deliver()
			b.subscribe(h, "tag")
			b.subscribe(h, "product")
			b.sim.Snapshot("subscribed")
			b.tags("undone")
			wiretest.Eventually(t, "the refusal", func() bool { h.mu.Lock(); defer h.mu.Unlock(); return h.refuse == 0 })
			forget(b)
			if name == "reset" {
				b.subscribe(h, "product")
			}
			b.sim.Advance(time.Hour)
			b.want(201, "POST", "/v1/products", `{"name":"kept"}`, b.as("", monitetest.DemoEntityID))
			if got := h.got(t, 1); !slices.Equal(got, []string{"product.created"}) {
				t.Errorf("webhooks = %v, want that of the product alone", got)
			}
		})
	}
}

func TestSnapshotKeepsWaitingWebhooks(t *testing.T) {
	b := start(t, monitetest.Config{})
	h := newHook(t)
	h.refuse = 1
	b.deliver()
	b.subscribe(h, "tag")
	b.tags("waiting")
	wiretest.Eventually(t, "the refusal", func() bool { h.mu.Lock(); defer h.mu.Unlock(); return h.refuse == 0 })
	b.sim.Snapshot("waiting")
	for n := range 2 {
		b.sim.Restore("waiting")
		b.sim.Advance(time.Hour)
		if got := h.got(t, n+1); len(got) != n+1 {
			t.Errorf("webhooks = %v, want one per restore", got)
		}
	}
}

// An operation acts on the data of one time: what is put back while it runs has no
// history of documents that it does not have.
func TestResetUnderLoadLeavesNothingBehind(t *testing.T) {
	b := start(t, monitetest.Config{})
	header := b.as("", monitetest.DemoEntityID)
	b.sim.Snapshot("start")
	var load sync.WaitGroup
	stop := make(chan struct{})
	for range 4 {
		load.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if r, err := b.try(b.request("POST", "/v1/payables", `{"document_id":"1"}`, maps.Clone(header))); err != nil || r.status != 200 {
					t.Errorf("create: %d %v", r.status, err)
					return
				}
			}
		})
	}
	for i := range 200 {
		if i%2 == 0 {
			b.sim.Reset()
		} else {
			b.sim.Restore("start")
		}
	}
	close(stop)
	load.Wait()
	state, err := monitetest.ParseData([]byte(b.want(200, "GET", "/_sim/state", "", nil).body))
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{}
	for _, d := range state[monitetest.DemoEntityID]["payables"] {
		known[d["id"].(string)] = true
	}
	for path := range state[monitetest.DemoEntityID] {
		if id, ok := strings.CutPrefix(strings.TrimSuffix(path, "/history"), "payables/"); ok && strings.HasSuffix(path, "/history") && !known[id] {
			t.Errorf("%s belongs to no payable", path)
		}
	}
}
