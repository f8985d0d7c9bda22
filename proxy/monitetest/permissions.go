package monitetest

import (
	"net/http"
	"slices"
	"strings"

	"github.com/monite-proxy/monite-proxy/proxy/monitetest/schema"
)

// partnerOnly are the operations that act on the partner's own account. A
// trailing * stands for everything below.
var partnerOnly = []string{
	"POST /v1/entities", "GET /v1/entities",
	"GET /v1/entities/{entity_id}", "PATCH /v1/entities/{entity_id}",
	"POST /v1/entities/{entity_id}/activate", "POST /v1/entities/{entity_id}/deactivate",
	"* /v1/settings", "* /v1/webhook_subscriptions*", "* /v1/mailbox_domains*",
}

// entityUserOnly are the operations that need to know who acts.
var entityUserOnly = []string{
	"* /v1/entity_users/me", "* /v1/entity_users/my_entity", "* /v1/entity_users/my_role",
	"POST /v1/approval_policies",
}

func listed(list []string, op *schema.Operation) bool {
	return slices.ContainsFunc(list, func(pattern string) bool {
		method, template, _ := strings.Cut(pattern, " ")
		if method != "*" && method != op.Method {
			return false
		}
		if prefix, ok := strings.CutSuffix(template, "*"); ok {
			return op.Template == prefix || strings.HasPrefix(op.Template, prefix+"/")
		}
		return op.Template == template
	})
}

// checkPermission applies the token kind and, for an entity user, the role.
func (s *Simulator) checkPermission(c *call) *answer {
	if c.token.grantType == grantPartner {
		if listed(entityUserOnly, c.op) {
			return forbidden("This operation needs an entity user token")
		}
		return nil
	}
	if listed(partnerOnly, c.op) {
		return forbidden("This operation needs a partner token")
	}
	object, action := objectAction(c.op)
	if object == "" {
		return nil
	}
	data := s.api.Store()
	user := data.At(c.token.entityID, "entity_users").Get(c.token.entityUserID)
	if user == nil {
		return unauthorized("The access token is invalid") // just deleted
	}
	roleID, _ := user["role_id"].(string)
	if !allows(data.At(c.token.entityID, "roles").Get(roleID), object, action) {
		return forbidden("The role does not allow to " + action + " objects of type " + object)
	}
	return nil
}

// objectAction names what a role must allow. What no role can grant, such as
// a user's view of itself, has no object.
func objectAction(op *schema.Operation) (object, action string) {
	segments := strings.Split(op.Template, "/")[2:]
	object = objectTypes[segments[0]]
	last := segments[len(segments)-1]
	switch {
	case last == "my_entity":
		object = "entity"
	case object == "", last == "me" && segments[0] == "entity_users", last == "my_role":
		return "", ""
	}
	switch op.Method {
	case http.MethodGet:
		return object, "read"
	case http.MethodDelete:
		return object, "delete"
	case http.MethodPost:
		if special := payableActions[last]; special != "" && object == "payable" && len(segments) == 3 {
			return object, special
		}
		if len(segments) == 1 || last == "upload_from_file" {
			return object, "create"
		}
	}
	return object, "update"
}

// payableActions are the POSTs below a payable that are permissions of their own.
var payableActions = map[string]string{
	"submit_for_approval": "submit", "approve_payment_operation": "approve", "reject": "approve", "cancel": "cancel",
	"reopen": "reopen", "mark_as_paid": "pay", "mark_as_partially_paid": "pay",
}

// objectTypes maps the first path segment to the name that roles use.
var objectTypes = map[string]string{
	"approval_policies": "approval_policy", "approval_requests": "approval_request", "comments": "comment",
	"counterparts": "counterpart", "data_exports": "export", "entities": "entity", "delivery_notes": "delivery_note", "bank_accounts": "entity_bank_account",
	"entity_users": "entity_user", "mailboxes": "mailbox", "ocr_tasks": "ocr_task", "overdue_reminders": "overdue_reminder",
	"payables": "payable", "payable_purchase_orders": "payables_purchase_order", "payment_records": "payment_record",
	"payment_reminders": "payment_reminder", "persons": "person", "products": "product", "projects": "project",
	"receipts": "receipt", "receivables": "receivable", "roles": "role", "tags": "tag",
}

// allows reads a role in the shape in which Monite sends it.
func allows(role doc, object, action string) bool {
	permissions, _ := role["permissions"].(doc)
	for _, entry := range schema.List(permissions["objects"]) {
		if entry["object_type"] != object {
			continue
		}
		for _, granted := range schema.List(entry["actions"]) {
			if granted["action_name"] == action {
				return granted["permission"] == "allowed" || granted["permission"] == "allowed_for_own"
			}
		}
	}
	return false
}
