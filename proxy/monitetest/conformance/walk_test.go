package conformance

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/monite-proxy/monite-proxy/internal/wiretest"
	"github.com/monite-proxy/monite-proxy/proxy/monitetest"
)

// tuned are values that no schema can tell: what belongs together.
func (a *app) tuned(op operation, body any) any {
	fields, ok := body.(map[string]any)
	if !ok {
		return body
	}
	switch op.String() {
	case "POST /auth/token":
		return map[string]any{"client_id": monitetest.DemoClientID, "client_secret": monitetest.DemoClientSecret, "grant_type": "client_credentials"}
	case "POST /auth/revoke":
		return map[string]any{"client_id": monitetest.DemoClientID, "client_secret": monitetest.DemoClientSecret, "token": a.mint("")}
	case "POST /entity_users":
		fields["role_id"] = a.id("role_id")
	case "POST /receivables", "PUT /receivables/{receivable_id}/line_items":
		for _, name := range []string{"line_items", "data"} {
			if lines, ok := fields[name].([]any); ok {
				lines[0].(map[string]any)["product_id"] = a.id("product_id")
			}
		}
	case "POST /payment_records":
		fields["object"] = map[string]any{"type": "payable", "id": monitetest.DemoPayableID}
	case "PATCH /receivables/{receivable_id}":
		return map[string]any{"invoice": map[string]any{"memo": "Thank you"}}
	case "PATCH /counterparts/{counterpart_id}":
		return map[string]any{"organization": map[string]any{"phone": "+390515550143"}}
	}
	return body
}

// outcome is what became of one operation.
type outcome struct {
	status  int
	problem string
}

// call does one operation with a body that was generated from the document.
func (a *app) call(op operation, full bool) outcome {
	a.sim.Restore("start")
	a.prepare(op)
	g := &generator{d: a.d, full: full, ids: a.id}
	body, mediaType := a.d.body(op)
	var sent []byte
	if body != nil {
		value := a.tuned(op, g.value("", body))
		if err := a.d.validate(a.d.bodyPointer(op, mediaType), value); err != nil {
			return outcome{problem: "the generated request is wrong: " + err.Error()}
		}
		if mediaType == "application/json" {
			sent, _ = json.Marshal(value)
		} else {
			mediaType, sent = form(value.(map[string]any))
		}
	}
	targets := a.targets(op)
	if len(targets) == 0 {
		return outcome{problem: "nothing to call it on"}
	}
	var last outcome
	for _, target := range targets {
		if query := g.query(op); query != "" {
			target += "?" + query
		}
		reply := a.send(op.method, target, mediaType, sent, a.tokenFor(op))
		last = a.judge(op, reply)
		if last.problem == "" || reply.Code == 422 {
			return last
		}
	}
	return last
}

func (a *app) judge(op operation, reply *httptest.ResponseRecorder) outcome {
	status, pointer, mediaType := a.d.response(op)
	if itoa(reply.Code) != status {
		return outcome{reply.Code, fmt.Sprintf("status %d, published is %s: %.300s", reply.Code, status, reply.Body)}
	}
	if mediaType != "" && pointer != "" {
		if got := reply.Header().Get("Content-Type"); got != mediaType {
			return outcome{reply.Code, "Content-Type " + got}
		}
		var value any
		if err := json.Unmarshal(reply.Body.Bytes(), &value); err != nil {
			return outcome{reply.Code, err.Error()}
		}
		if err := a.d.validate(pointer, value); err != nil {
			return outcome{reply.Code, fmt.Sprintf("%v\n%.1500s", err, reply.Body)}
		}
	}
	if status == "204" && reply.Body.Len() > 0 {
		return outcome{reply.Code, "204 with a body"}
	}
	return outcome{status: reply.Code}
}

// Every published operation answers what is published. Nulls are allowed only
// where the document has them.
func TestEveryOperationAnswersWhatIsPublished(t *testing.T) {
	d := load(t)
	a := newApp(t, d)
	valid, only := 0, os.Getenv("CONFORMANCE_ONLY")
	operations := d.operations()
	for _, op := range operations {
		if only != "" && !strings.Contains(op.String(), only) {
			continue
		}
		if got := a.call(op, false); got.problem != "" {
			t.Errorf("%s: %s", op, got.problem)
			continue
		}
		valid++
	}
	t.Logf("%d of %d operations answered as published", valid, len(operations))
	if len(operations) != 386 {
		t.Errorf("the document has %d operations, want 386", len(operations))
	}
}

// With everything optional in the body an operation answers as published, or
// refuses what does not belong together; it never calls the body malformed.
func TestFullBodiesAreUnderstood(t *testing.T) {
	d := load(t)
	a := newApp(t, d)
	count, refused := 0, 0
	for _, op := range d.operations() {
		if body, _ := d.body(op); body == nil || strings.HasPrefix(op.path, "/auth/") {
			continue
		}
		count++
		got := a.call(op, true)
		switch {
		case got.problem == "":
		case slices.Contains([]int{http.StatusBadRequest, http.StatusNotFound, http.StatusConflict}, got.status):
			refused++
			t.Logf("%s: %.200s", op, got.problem)
		default:
			t.Errorf("%s: %s", op, got.problem)
		}
	}
	t.Logf("%d operations with full bodies, %d refused for their state", count, refused)
}

// What an operation stores is what the document has: a status that it does not know
// would be shown as another one.
//
// Each run looks at one in ten operations, with LONG at all.
func TestWhatIsStoredIsPublished(t *testing.T) {
	a := newApp(t, load(t))
	operations := slices.DeleteFunc(a.d.operations(), func(op operation) bool { return op.method == "GET" || strings.HasPrefix(op.path, "/auth/") })
	for i := 0; i < len(operations); i += wiretest.Sized(10, 1) {
		a.call(operations[i], true)
		a.sim.Advance(3 * time.Second)
		reply := httptest.NewRecorder()
		a.sim.ServeHTTP(reply, httptest.NewRequest(http.MethodGet, "/_sim/state", nil))
		data, err := monitetest.ParseData(reply.Body.Bytes())
		if err == nil {
			_, err = monitetest.Open(monitetest.Config{Data: data})
		}
		if err != nil {
			t.Errorf("after %s: %v", operations[i], err)
		}
	}
}
