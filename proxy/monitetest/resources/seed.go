package resources

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/monite-proxy/monite-proxy/proxy/monitetest/schema"
	"github.com/monite-proxy/monite-proxy/proxy/monitetest/state"
)

// seeds makes the documents with which a demo company's collections begin:
// one of each kind, with what its schema has. A company that was made later
// begins empty, but for what every company has.
func (a *API) seeds(st *state.Store, born time.Time) func(state.Key) []Doc {
	return func(key state.Key) []Doc {
		if fixed := systemRows[key.Path]; fixed != nil {
			return fixed(key.Owner, schema.Timestamp(born))
		}
		if key.Owner != "" && !isDemo(key.Owner) || slices.Contains(bare, key.Path) || !hasSeeds(st, key, schema.Timestamp(born)) {
			return nil
		}
		p := a.placeOf(key.Path)
		if p == nil || p.item == nil {
			return nil
		}
		rows := seedsOf(p.item, key, born)
		for _, d := range rows {
			a.useFilters(d, p, born)
		}
		return rows
	}
}

// useFilters gives fields a value that the list can be filtered by, where only the
// filter publishes the members, or the field.
func (a *API) useFilters(d Doc, p *place, born time.Time) {
	get := p.methods[http.MethodGet]
	if get == nil {
		return
	}
	m := &schema.Maker{Now: born, Seed: text(d["id"]), Full: true}
	for _, q := range get.Query {
		name := state.ParseFilter(q.Name).Field
		property := p.item.Property(name)
		switch {
		case property != nil && property.Schema.Type == "string" && len(property.Schema.Enum) == 0 && len(q.Schema.Enum) > 0 && !slices.Contains(q.Schema.Enum, text(d[name])):
			d[name] = q.Schema.Enum[0]
		case property == nil && d[name] == nil && fieldPaths[name] == nil && !slices.Contains(notFilters, name) && !strings.Contains(name, "."):
			d[name] = m.Fill(q.Schema)
		}
	}
}

// seedStatuses are the statuses of the documents of a collection, one each, so
// that every action finds one that it is allowed for.
var seedStatuses = map[string][]string{
	"payable_credit_notes": {"new", "draft"}, "payment_records": {"created", "processing", "succeeded"}, "recurrences": {"active", "paused"},
	"delivery_notes": {"created", "delivered"}, "approval_requests": {"waiting"}, "payable_purchase_orders": {"draft"}, "payment_intents": {"created"},
	"data_exports": {"succeeded"}, "ocr_tasks": {"success"}, "mailboxes": {"active"}, "mailbox_domains": {"unverified"},
	"webhook_subscriptions": {"disabled"}, // its URL leads nowhere
}

// seedsOf makes one document, or one per status or object type.
func seedsOf(item *schema.Schema, key state.Key, born time.Time) (rows []Doc) {
	one := func(name string) Doc { return seedOf(item, key, demoID(key.Owner+key.Path+name), born) }
	_, last, _ := cutLast(key.Path)
	switch statuses := seedStatuses[key.Path]; {
	case last == "processes":
		d := one("")
		d["status"] = "running"
		return []Doc{d}
	case len(statuses) > 0:
		for _, status := range statuses {
			d := one(status)
			d["status"] = status
			if status == "draft" {
				d["ocr_status"] = "processing"
			}
			rows = append(rows, d)
		}
		return rows
	case key.Path == "accounting_synced_records":
		for _, kind := range item.Property("object_type").Schema.Enum {
			d := one(kind)
			d["object_type"] = kind
			rows = append(rows, d)
		}
		return rows
	case key.Path == "comments":
		for i := range 16 {
			d := one(fmt.Sprint(i))
			d["object_type"], d["object_id"] = "payable", payableID(key.Owner, i)
			rows = append(rows, d)
		}
		return rows
	}
	return []Doc{one("")}
}

// bare collections have demo data of their own, or grow by what happens.
var bare = []string{
	"entities", "entity_users", "roles", "counterparts", "payables", "receivables", "products", "tags", "measure_units", "events",
	"document_templates", "ai/conversations", "accounting/payables", "accounting/receivables", "_views",
}

// hasSeeds reports whether the collection stands by itself, or below a demo
// document that is not filled in by hand. Histories grow by what happens.
func hasSeeds(st *state.Store, key state.Key, born string) bool {
	segments := strings.Split(key.Path, "/")
	if len(segments) < 3 {
		return true
	}
	last, parent := segments[len(segments)-1], strings.Join(segments[:len(segments)-2], "/")
	d := st.At(key.Owner, parent).Get(segments[len(segments)-2])
	if d == nil || d["created_at"] != nil && text(d["created_at"]) > born {
		return false
	}
	switch parent {
	case "payables":
		return false
	case "receivables":
		return last == "mails" && d["status"] != "draft"
	case "counterparts", "entities":
		return last != "addresses" && last != "vat_ids"
	}
	return true
}

func isDemo(owner string) bool {
	return slices.ContainsFunc(demoEntities, func(e demoEntity) bool { return e.id == owner })
}

func seedOf(item *schema.Schema, key state.Key, id string, born time.Time) Doc {
	m := &schema.Maker{Now: born.AddDate(0, -2, 0), Seed: id, Full: true}
	d, _ := m.Fill(item).(Doc)
	if d = maps.Clone(d); d == nil {
		d = Doc{}
	}
	d["id"], d["created_at"], d["updated_at"] = id, first(d["created_at"], schema.Timestamp(m.Now)), first(d["updated_at"], schema.Timestamp(m.Now))
	for _, e := range demoEntities {
		if e.id == key.Owner {
			for _, name := range []string{"created_by_entity_user_id", "entity_user_id", "created_by_user_id", "was_created_by_user_id", "created_by", "updated_by"} {
				if _, is := d[name]; is {
					d[name] = e.users[0].id
				}
			}
			if _, is := d["entity_id"]; is {
				d["entity_id"] = e.id
			}
			if _, is := d["counterpart_id"]; is {
				d["counterpart_id"] = partyID(e, 0)
			}
		}
	}
	if segments := strings.Split(key.Path, "/"); len(segments) > 2 {
		if name := singular(segments[len(segments)-3]) + "_id"; d[name] != nil {
			d[name] = segments[len(segments)-2]
		}
	}
	if target := object(d["object"]); target["type"] == "payable" {
		target = Doc{"id": payableID(key.Owner, 0), "type": "payable"}
		if key.Path == "payment_records" {
			target["old_status"], target["new_status"] = "new", "new"
		}
		d["object"] = target
	}
	return d
}

// systemRows are the rows that every company has.
var systemRows = map[string]func(owner, at string) []Doc{
	"vat_rates": func(_, at string) (rows []Doc) {
		for _, country := range []string{"IT", "DE", "NL", "FR", "GB"} {
			for _, value := range vatRates[country] {
				rows = append(rows, Doc{
					"id": vatRateID(country, value), "created_at": at, "updated_at": at, "country": country, "value": value,
					"created_by": "monite", "status": "active", "valid_from": "2014-01-01",
				})
			}
		}
		return rows
	},
	"ledger_accounts": func(owner, _ string) (rows []Doc) {
		for i, name := range []string{"Accounts payable", "Accounts receivable", "Cost of goods", "Bank"} {
			rows = append(rows, Doc{
				"id": demoID(owner + name), "name": name, "nominal_code": fmt.Sprint(2000 + 1000*i), "currency": "EUR", "current_balance": 0,
				"is_bank_account": name == "Bank", "status": "active", "type": []string{"liability", "asset", "expense", "asset"}[i],
			})
		}
		return rows
	},
}

// vatRates are in hundredths of a percent.
var vatRates = map[string][]int{"IT": {2200, 1000, 400, 0}, "DE": {1900, 700, 0}, "NL": {2100, 900, 0}, "FR": {2000, 1000, 550, 0}, "GB": {2000, 500, 0}}

func vatRateID(country string, value int) string {
	return demoID(fmt.Sprint("vat rate ", country, value))
}
