package monitetest

import (
	"crypto/sha256"
	"strconv"
	"time"
)

// The demo credentials and ids are fixed, so that examples work as printed.
const (
	DemoClientID     = "3c1f5b1e-6d0a-4e4f-9a54-7d1c0b6f2a10"
	DemoClientSecret = "8a0c2f64-51d7-4f1b-8e0e-5b7a9c3d4e21"

	// DemoEntityID is a bakery in Bologna; DemoEntityUserID its administrator
	// and DemoViewerUserID a user who may only read.
	DemoEntityID     = "b5e1c0de-0001-4000-8000-000000000001"
	DemoEntityUserID = "b5e1c0de-0001-4000-8000-0000000000a1"
	DemoViewerUserID = "b5e1c0de-0001-4000-8000-0000000000a2"

	// DemoStudioID is a design studio in Berlin, with an administrator and an
	// accountant, who may submit payables but not approve or pay them.
	DemoStudioID         = "b5e1c0de-0002-4000-8000-000000000002"
	DemoStudioUserID     = "b5e1c0de-0002-4000-8000-0000000000a1"
	DemoAccountantUserID = "b5e1c0de-0002-4000-8000-0000000000a2"

	// DemoLogisticsID is a haulier in Rotterdam, with an administrator and a viewer.
	DemoLogisticsID           = "b5e1c0de-0003-4000-8000-000000000003"
	DemoLogisticsUserID       = "b5e1c0de-0003-4000-8000-0000000000a1"
	DemoLogisticsViewerUserID = "b5e1c0de-0003-4000-8000-0000000000a2"

	// These belong to the bakery: a payable in the status new, a draft of an
	// invoice, a supplier, a chat and a document template.
	DemoPayableID      = "b5e1c0de-0001-4000-8000-0000000000b1"
	DemoReceivableID   = "b5e1c0de-0001-4000-8000-0000000000c1"
	DemoCounterpartID  = "b5e1c0de-0001-4000-8000-0000000000d1"
	DemoConversationID = "b5e1c0de-0001-4000-8000-0000000000e1"
	DemoTemplateID     = "b5e1c0de-0001-4000-8000-0000000000f1"
)

// demoEntity is what the demo data of one company is made from.
type demoEntity struct {
	id, name, email, phone, taxID, website string
	address                                doc
	users                                  [2]demoUser
	parties                                [4]demoParty
	bills                                  []string // what it buys
	sales                                  []string // what it sells
	payables, receivables                  int
}

type demoUser struct{ id, first, last, role string }

type demoParty struct {
	name, email, vat string
	vendor           bool
	address          doc
}

func address(line1, postalCode, city, country string) doc {
	return doc{"line1": line1, "line2": nil, "postal_code": postalCode, "city": city, "country": country, "state": nil}
}

// demoID makes a fixed UUID of a name.
func demoID(name string) string {
	sum := sha256.Sum256([]byte(name))
	return formatUUID([16]byte(sum[:16]))
}

// demoData is the state that a simulator starts with. Dates are relative to
// now, so that what is overdue stays overdue.
func demoData(now time.Time) *store {
	st := newStore()
	for i, e := range demoEntities {
		born := now.AddDate(-1, 0, -40*(len(demoEntities)-i))
		st.at("", "entities").add(doc{
			"id": e.id, "created_at": timestamp(born), "updated_at": timestamp(born), "type": "organization", "status": "active",
			"organization": doc{"legal_name": e.name, "business_structure": nil, "legal_entity_id": nil},
			"email":        e.email, "phone": e.phone, "website": e.website, "tax_id": e.taxID, "address": e.address,
			"logo": nil, "registration_authority": nil, "registration_number": nil,
		})
		st.at("", "entities/"+e.id+"/vat_ids").add(doc{
			"id": demoID(e.id + "vat"), "country": e.address["country"], "type": "eu_vat", "value": e.taxID, "entity_id": e.id,
		})
		addUsers(st, e, born)
		addParties(st, e, born)
		addPayables(st, e, now)
		addReceivables(st, e, now)
		templateID, conversationID := demoID(e.id+"template"), demoID(e.id+"chat")
		if e.id == DemoEntityID {
			templateID, conversationID = DemoTemplateID, DemoConversationID
		}
		st.at(e.id, "document_templates").add(doc{
			"id": templateID, "created_at": timestamp(born), "updated_at": timestamp(born), "name": "Default invoice",
			"document_type": "receivable", "is_default": true, "language": "en", "template": "<html></html>", "template_type": "block",
		})
		st.at(e.id, "ai/conversations").add(doc{"id": conversationID, "created_at": timestamp(born), "messages": []doc{}})
	}
	return st
}

func addUsers(st *store, e demoEntity, born time.Time) {
	roles := map[string]string{}
	for _, name := range []string{"Administrator", "Accountant", "Viewer"} {
		roles[name] = demoID(e.id + name)
		st.at(e.id, "roles").add(doc{
			"id": roles[name], "created_at": timestamp(born), "updated_at": timestamp(born), "name": name,
			"status": "active", "permissions": doc{"objects": demoPermissions(name)},
		})
	}
	for _, u := range e.users {
		login := u.first + "." + u.last
		st.at(e.id, "entity_users").add(doc{
			"id": u.id, "created_at": timestamp(born), "updated_at": timestamp(born), "login": login,
			"first_name": u.first, "last_name": u.last, "role_id": roles[u.role], "status": "active",
			"email": login + "@" + e.email[len("office@"):], "phone": nil, "userpic_file_id": nil,
		})
	}
}

// demoPermissions is a role in Monite's shape.
func demoPermissions(role string) []doc {
	granted := map[string][]string{
		"Administrator": {"create", "read", "update", "delete", "submit", "approve", "pay", "cancel", "reopen"},
		"Accountant":    {"create", "read", "update", "submit"},
		"Viewer":        {"read"},
	}[role]
	var objects []doc
	for _, object := range roleObjects {
		var actions []doc
		for _, action := range granted {
			switch action {
			case "submit", "approve", "pay", "cancel", "reopen":
				if object != "payable" {
					continue
				}
			case "create", "update":
				if role == "Accountant" && (object == "role" || object == "entity_user" || object == "entity") {
					continue
				}
			}
			actions = append(actions, doc{"action_name": action, "permission": "allowed"})
		}
		objects = append(objects, doc{"object_type": object, "actions": actions})
	}
	return objects
}

// roleObjects are the object types in the order in which roles list them.
var roleObjects = []string{
	"approval_policy", "approval_request", "comment", "counterpart", "delivery_note", "entity", "entity_bank_account", "entity_user",
	"export", "mailbox", "ocr_task", "overdue_reminder", "payable", "payables_purchase_order", "payment_record",
	"payment_reminder", "person", "product", "project", "receipt", "receivable", "role", "tag",
}

func addParties(st *store, e demoEntity, born time.Time) {
	for i, p := range e.parties {
		id := partyID(e, i)
		addressID, vatID := demoID(id+"address"), demoID(id+"vat")
		at := timestamp(born.AddDate(0, 0, 3*i))
		st.at(e.id, "counterparts").add(doc{
			"id": id, "created_at": at, "updated_at": at, "type": "organization", "tax_id": p.vat, "language": "en",
			"organization": doc{
				"legal_name": p.name, "email": p.email, "phone": nil, "is_vendor": p.vendor, "is_customer": !p.vendor, "tags": []doc{},
			},
			"default_billing_address_id": addressID, "default_shipping_address_id": nil, "default_billing_address": nil,
			"created_automatically": false, "created_by_entity_user_id": e.users[0].id, "reminders_enabled": true, "external_reference": nil,
		})
		stored := without(p.address)
		stored["id"], stored["counterpart_id"] = addressID, id
		st.at(e.id, "counterparts/"+id+"/addresses").add(stored)
		st.at(e.id, "counterparts/"+id+"/vat_ids").add(doc{
			"id": vatID, "counterpart_id": id, "country": p.address["country"], "type": "eu_vat", "value": p.vat,
		})
	}
}

func partyID(e demoEntity, i int) string {
	if e.id == DemoEntityID && i == 0 {
		return DemoCounterpartID
	}
	return demoID(e.id + "counterpart" + strconv.Itoa(i))
}
