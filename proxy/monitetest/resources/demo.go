package resources

import (
	"strconv"
	"strings"
	"time"

	"github.com/monite-proxy/monite-proxy/proxy/monitetest/schema"
	"github.com/monite-proxy/monite-proxy/proxy/monitetest/state"
)

// The demo ids are fixed, so that examples work as printed.
const (
	// DemoEntityID is a bakery in Bologna; DemoEntityUserID its administrator
	// and DemoViewerUserID a user who may only read.
	DemoEntityID     = "b5e1c0de-0001-4000-8000-000000000001"
	DemoEntityUserID = "b5e1c0de-0001-4000-8000-0000000000a1"
	DemoViewerUserID = "b5e1c0de-0001-4000-8000-0000000000a2"

	// DemoStudioID is a design studio in Berlin, with an administrator and an
	// accountant who may submit payables but not approve or pay them.
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

// demoEntity is the source of one company's demo data.
type demoEntity struct {
	id, name, email, phone, taxID, website string
	address                                Doc
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
	address          Doc
}

func address(line1, postalCode, city, country string) Doc {
	return Doc{"line1": line1, "postal_code": postalCode, "city": city, "country": country}
}

func demoID(name string) string { return schema.FixedUUID(name) }

// demoData is the state that a simulator starts with. Dates are relative to
// now, so that what is overdue stays overdue. Collections without a part here
// begin with what their schema says (seed.go).
func (a *API) demoData() *state.Store {
	now := a.now()
	st := &state.Store{}
	st.Seed = a.seeds(st, now)
	for i, e := range demoEntities {
		born := now.AddDate(-1, 0, -40*(len(demoEntities)-i))
		at := schema.Timestamp(born)
		st.At("", "entities").Add(Doc{
			"id": e.id, "created_at": at, "updated_at": at, "type": "organization", "status": "active",
			"organization": Doc{"legal_name": e.name},
			"email":        e.email, "phone": e.phone, "website": e.website, "tax_id": e.taxID, "address": e.address,
			"logo": nil, "registration_authority": nil, "registration_number": nil,
		})
		add(st, "", "entities/"+e.id+"/vat_ids", Doc{
			"id": demoID(e.id + "vat"), "country": e.address["country"], "type": "eu_vat", "value": e.taxID, "entity_id": e.id,
		})
		addUsers(st, e, at)
		addParties(st, e, born)
		addCatalogue(st, e, at)
		addPayables(st, e, now)
		addReceivables(st, e, now)
		addQuotes(st, e, now)
		templateID, conversationID := demoID(e.id+"template"), demoID(e.id+"chat")
		if e.id == DemoEntityID {
			templateID, conversationID = DemoTemplateID, DemoConversationID
		}
		add(st, e.id, "document_templates", Doc{
			"id": templateID, "created_at": at, "updated_at": at, "name": "Default invoice",
			"document_type": "receivable", "is_default": true, "language": "en", "template": "<html></html>", "template_type": "block",
		})
		add(st, e.id, "ai/conversations", Doc{"id": conversationID, "created_at": at, "title": "Overdue payables", "messages": []any{}})
	}
	return st
}

// add stores demo documents past the seeds: the collection has no others.
func add(st *state.Store, owner, path string, docs ...Doc) {
	rows := st.At(owner, path)
	for _, d := range docs {
		rows.Add(d)
	}
}

func addUsers(st *state.Store, e demoEntity, at string) {
	roles := map[string]string{}
	for _, name := range []string{"Administrator", "Accountant", "Viewer"} {
		roles[name] = demoID(e.id + name)
		add(st, e.id, "roles", Doc{
			"id": roles[name], "created_at": at, "updated_at": at, "name": name,
			"status": "active", "permissions": Doc{"objects": demoPermissions(name)},
		})
	}
	for _, u := range e.users {
		login := u.first + "." + u.last
		add(st, e.id, "entity_users", Doc{
			"id": u.id, "created_at": at, "updated_at": at, "login": login,
			"first_name": u.first, "last_name": u.last, "role_id": roles[u.role], "status": "active",
			"email": strings.ToLower(strings.ReplaceAll(login, " ", "")) + "@" + e.email[len("office@"):], "phone": nil, "userpic_file_id": nil,
		})
	}
}

// demoPermissions is a role in Monite's shape.
func demoPermissions(role string) []any {
	granted := map[string][]string{
		"Administrator": {"create", "read", "update", "delete", "submit", "approve", "pay", "cancel", "reopen"},
		"Accountant":    {"create", "read", "update", "submit"},
		"Viewer":        {"read"},
	}[role]
	var objects []any
	for _, object := range roleObjects {
		var actions []any
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
			actions = append(actions, Doc{"action_name": action, "permission": "allowed"})
		}
		objects = append(objects, Doc{"object_type": object, "actions": actions})
	}
	return objects
}

// roleObjects are the object types in the order in which roles list them.
var roleObjects = []string{
	"approval_policy", "approval_request", "comment", "counterpart", "delivery_note", "entity", "entity_bank_account", "entity_user",
	"export", "mailbox", "ocr_task", "overdue_reminder", "payable", "payables_purchase_order", "payment_record",
	"payment_reminder", "person", "product", "project", "receipt", "receivable", "role", "tag",
}

func addParties(st *state.Store, e demoEntity, born time.Time) {
	for i, p := range e.parties {
		id := partyID(e, i)
		addressID, vatID := demoID(id+"address"), demoID(id+"vat")
		at := schema.Timestamp(born.AddDate(0, 0, 3*i))
		add(st, e.id, "counterparts", Doc{
			"id": id, "created_at": at, "updated_at": at, "type": "organization", "tax_id": p.vat, "language": "en",
			"organization": Doc{
				"legal_name": p.name, "email": p.email, "phone": "+390515550199", "is_vendor": p.vendor, "is_customer": !p.vendor, "tags": []any{},
			},
			"default_billing_address_id": addressID, "default_shipping_address_id": addressID,
			"created_automatically": false, "created_by_entity_user_id": e.users[0].id, "reminders_enabled": true,
		})
		stored := without(p.address)
		stored["id"], stored["counterpart_id"] = addressID, id
		add(st, e.id, "counterparts/"+id+"/addresses", stored)
		add(st, e.id, "counterparts/"+id+"/vat_ids", Doc{
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

// addCatalogue adds what the company sells, the units of it and its tags.
func addCatalogue(st *state.Store, e demoEntity, at string) {
	unit := demoID(e.id + "unit")
	add(st, e.id, "measure_units", Doc{"id": unit, "created_at": at, "updated_at": at, "name": "pcs", "description": "Pieces"})
	for i, name := range e.sales {
		id := demoID(e.id + "product" + strconv.Itoa(i))
		add(st, e.id, "products", Doc{
			"id": id, "created_at": at, "updated_at": at, "entity_id": e.id, "entity_user_id": e.users[0].id, "name": name, "type": "product",
			"measure_unit_id": unit, "price": Doc{"currency": "EUR", "value": demoAmount(id)}, "smallest_amount": 1,
		})
	}
	for _, name := range []string{"Urgent", "Recurring"} {
		add(st, e.id, "tags", Doc{
			"id": demoID(e.id + name), "created_at": at, "updated_at": at, "name": name, "category": "department", "created_by_entity_user_id": e.users[0].id,
		})
	}
}
