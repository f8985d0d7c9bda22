package monitetest_test

import (
	"strings"
	"testing"

	"github.com/monite-proxy/monite-proxy/proxy/monitetest"
)

func TestEntityRules(t *testing.T) {
	const (
		partner = ""
		user    = monitetest.DemoEntityUserID
		own     = monitetest.DemoEntityID
	)
	tests := []struct {
		name, as, entity, method, target string
		status                           int
		says                             string
	}{
		{"required and there", partner, own, "GET", "/v1/payables", 200, ""},
		{"any entity for the partner", partner, otherEntity, "GET", "/v1/payables", 200, ""},
		{"required and missing", partner, "", "GET", "/v1/payables", 422, `["header","x-monite-entity-id"]`},
		{"required of a user too", user, "", "GET", "/v1/payables", 422, "field required"},
		{"not a uuid", partner, "bakery", "GET", "/v1/payables", 422, "not a valid uuid"},
		{"unknown", partner, nobody, "GET", "/v1/payables", 404, "not found"},
		{"the user's own", user, own, "GET", "/v1/payables", 200, ""},
		{"another than the user's", user, otherEntity, "GET", "/v1/payables", 403, "does not belong"},
		{"unknown to a user", user, nobody, "GET", "/v1/payables", 403, "does not belong"},
		{"another where none is needed", user, otherEntity, "GET", "/v1/entity_users/me", 403, "does not belong"},
		{"none needed", partner, "", "GET", "/v1/entities", 200, "Panificio"},
		{"none needed, any accepted", partner, nobody, "GET", "/v1/entities", 200, "Panificio"},
		{"optional and missing", partner, "", "GET", "/v1/ocr_tasks", 200, ""},
		{"optional and unknown", partner, nobody, "GET", "/v1/ocr_tasks", 404, ""},
		{"in the path", partner, "", "GET", "/v1/entities/" + own + "/settings", 200, ""},
		{"in the path, unknown", partner, "", "GET", "/v1/entities/" + nobody + "/settings", 404, ""},
		{"in the path, the user's own", user, "", "GET", "/v1/entities/" + own + "/vat_ids", 200, "IT03512340377"},
		{"in the path, another", user, "", "GET", "/v1/entities/" + otherEntity + "/vat_ids", 403, ""},
		{"me needs the header from a partner", partner, "", "GET", "/v1/entities/me", 400, ""},
		{"me by header", partner, otherEntity, "GET", "/v1/entities/me", 200, "Kontor Blau"},
		{"me by token", user, "", "GET", "/v1/entities/me", 200, "Panificio"},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			b := start(t, monitetest.Config{})
			answer := b.want(tc.status, tc.method, tc.target, "", b.as(tc.as, tc.entity))
			if !strings.Contains(answer.body, tc.says) {
				t.Errorf("body = %s, want it to contain %s", answer.body, tc.says)
			}
		})
	}
}

func TestEntityHeaderIsEchoedAndNotRepeated(t *testing.T) {
	b := start(t, monitetest.Config{})
	header := b.as("", monitetest.DemoEntityID)
	answer := b.want(200, "GET", "/v1/payables?limit=1", "", with(header, "X-Request-Id", "abc"))
	for name, want := range map[string]string{
		"X-Monite-Entity-Id": monitetest.DemoEntityID, "X-Monite-Version": "2024-05-25", "X-Request-Id": "abc",
	} {
		if got := answer.header.Get(name); got != want {
			t.Errorf("%s = %q, want %q", name, got, want)
		}
	}
	if answer.header.Get("X-Process-Time") == "" {
		t.Error("no X-Process-Time")
	}
	twice := b.request("GET", "/v1/payables", "", header)
	twice.Header.Add("X-Monite-Entity-Id", otherEntity)
	if answer, err := b.try(twice); err != nil || answer.status != 422 {
		t.Errorf("two entity headers = %d, %v, want 422", answer.status, err)
	}
	double := b.request("GET", "/v1/payables", "", header)
	double.Header.Add("Authorization", "Bearer other")
	if answer, err := b.try(double); err != nil || answer.status != 400 {
		t.Errorf("two Authorization headers = %d, %v, want 400", answer.status, err)
	}
}

func TestTokenKindAndRole(t *testing.T) {
	const (
		partner    = ""
		admin      = monitetest.DemoEntityUserID
		viewer     = monitetest.DemoViewerUserID
		accountant = monitetest.DemoAccountantUserID
	)
	payable := "/v1/payables/" + monitetest.DemoPayableID
	tests := []struct {
		name, as, method, target, body string
		status                         int
	}{
		{"partner lists entities", partner, "GET", "/v1/entities", "", 200},
		{"user may not", admin, "GET", "/v1/entities", "", 403},
		{"user may not see the settings", admin, "GET", "/v1/settings", "", 403},
		{"user may not list webhooks", admin, "GET", "/v1/webhook_subscriptions", "", 403},
		{"user may not verify domains", admin, "POST", "/v1/mailbox_domains/" + nobody + "/verify", "", 403},
		{"partner has no me", partner, "GET", "/v1/entity_users/me", "", 403},
		{"partner has no role", partner, "GET", "/v1/entity_users/my_role", "", 403},
		{"partner makes no approval policy", partner, "POST", "/v1/approval_policies", "{}", 403},
		{"user does", admin, "POST", "/v1/approval_policies", `{"name":"All","script":[true]}`, 201},
		{"admin is somebody", admin, "GET", "/v1/entity_users/me", "", 200},
		{"admin approves", admin, "POST", payable + "/approve_payment_operation", "", 200},
		{"partner approves", partner, "POST", payable + "/approve_payment_operation", "", 200},
		{"viewer reads", viewer, "GET", payable, "", 200},
		{"viewer is somebody", viewer, "GET", "/v1/entity_users/me", "", 200},
		{"viewer changes their own name", viewer, "PATCH", "/v1/entity_users/me", `{"first_name":"M."}`, 200},
		{"viewer changes no entity", viewer, "PATCH", "/v1/entity_users/my_entity", `{"phone":"1"}`, 403},
		{"viewer creates nothing", viewer, "POST", "/v1/payables", "{}", 403},
		{"viewer approves nothing", viewer, "POST", payable + "/approve_payment_operation", "", 403},
		{"viewer deletes nothing", viewer, "DELETE", payable, "", 403},
		{"accountant creates", accountant, "POST", "/v1/payables", "{}", 200},
		{"accountant makes no users", accountant, "POST", "/v1/entity_users", "{}", 403},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			b := start(t, monitetest.Config{})
			entity := monitetest.DemoEntityID
			if tc.as == accountant {
				entity = monitetest.DemoStudioID
			}
			writes := b.sim.Stats().Writes
			b.want(tc.status, tc.method, tc.target, tc.body, b.as(tc.as, entity))
			executed := b.sim.Stats().Writes - writes
			if want := tc.status < 300 && tc.method != "GET"; (executed == 1) != want {
				t.Errorf("executed = %d, want it to be 1: %v", executed, want)
			}
		})
	}
}

func TestAccountantSubmitsButDoesNotApprove(t *testing.T) {
	b := start(t, monitetest.Config{})
	header := b.as(monitetest.DemoAccountantUserID, monitetest.DemoStudioID)
	id, _ := b.want(200, "GET", "/v1/payables?status=new", "", header).data(t)[0]["id"].(string)
	b.want(403, "POST", "/v1/payables/"+id+"/approve_payment_operation", "", header)
	b.want(200, "POST", "/v1/payables/"+id+"/submit_for_approval", "", header)
}

func TestRoleMadeByAppGovernsItsUsers(t *testing.T) {
	b := start(t, monitetest.Config{})
	partner := b.as("", monitetest.DemoEntityID)
	role := b.want(200, "POST", "/v1/roles", `{"name":"Tagger","permissions":{"objects":[
		{"object_type":"tag","actions":[{"action_name":"create","permission":"allowed"},{"action_name":"read","permission":"not_allowed"}]}]}}`, partner).json(t)
	b.want(400, "POST", "/v1/entity_users", `{"first_name":"T","login":"t"}`, partner)
	user := b.want(200, "POST", "/v1/entity_users", encode(map[string]any{"first_name": "T", "login": "t", "role_id": role["id"]}), partner).json(t)
	b.want(400, "POST", "/v1/entity_users", encode(map[string]any{"first_name": "T", "login": "t", "role_id": role["id"]}), partner)
	tagger := b.as(user["id"].(string), monitetest.DemoEntityID)
	b.want(201, "POST", "/v1/tags", `{"name":"x"}`, tagger)
	b.want(403, "GET", "/v1/tags", "", tagger)
	b.want(403, "GET", "/v1/payables", "", tagger)
	if got := b.want(200, "GET", "/v1/entity_users/my_role", "", tagger).json(t)["name"]; got != "Tagger" {
		t.Errorf("role = %v, want Tagger", got)
	}
}
