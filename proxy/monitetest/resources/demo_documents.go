package resources

import (
	"fmt"
	"hash/fnv"
	"slices"
	"strconv"
	"time"

	"github.com/monite-proxy/monite-proxy/proxy/monitetest/schema"
	"github.com/monite-proxy/monite-proxy/proxy/monitetest/state"
)

// demoStatuses repeat over the payables, from the oldest to the newest; so
// each entity has some of each.
var (
	demoPayableStatuses = []string{
		"paid", "paid", "waiting_to_be_paid", "partially_paid", "approve_in_progress", "new", "rejected", "new", "draft", "canceled",
	}
	demoReceivableStatuses = []string{"paid", "overdue", "issued", "partially_paid", "draft", "issued", "canceled", "paid", "uncollectible"}
)

// demoAmount is a fixed amount of a name, in minor units: 48.00 to 4,847.95.
func demoAmount(name string) int {
	h := fnv.New32a()
	_, _ = h.Write([]byte(name))
	return 4800 + int(h.Sum32()%96000)*5
}

func addPayables(st *state.Store, e demoEntity, now time.Time) {
	for i := range e.payables {
		status := demoPayableStatuses[i%len(demoPayableStatuses)]
		id := payableID(e.id, i)
		party, partyAt := e.parties[i%2], i%2 // the first two are suppliers
		issued := now.AddDate(0, 0, -4*(e.payables-i))
		at := schema.Timestamp(issued)
		net := demoAmount(id)
		tax := net / 5
		d := Doc{
			"id": id, "created_at": at, "updated_at": at, "entity_id": e.id, "status": status,
			"document_id": fmt.Sprintf("%s-%04d", issued.UTC().Format("2006"), 1100+7*i), "description": e.bills[i%len(e.bills)],
			"counterpart_id": partyID(e, partyAt), "counterpart_raw_data": rawParty(party),
			"currency": "EUR", "subtotal": net, "tax": 2000, "tax_amount": tax, "total_amount": net + tax, "total_amount_with_credit_notes": net + tax,
			"issued_at": issued.UTC().Format(time.DateOnly), "due_date": issued.AddDate(0, 0, 30).UTC().Format(time.DateOnly),
			"credit_notes": []any{}, "tags": []any{}, "payable_origin": "upload", "source_of_payable_data": "user_specified",
			"was_created_by_user_id": e.users[0].id,
		}
		settle(d, status, issued)
		if status == "draft" { // it has just come by mail
			d["payable_origin"], d["source_of_payable_data"], d["ocr_status"], d["sender"] = "email", "ocr", "processing", party.email
		}
		add(st, e.id, "payables", d)
		addEvent(st, e.id, "payable", id, at)
		add(st, e.id, "payables/"+id+"/line_items", Doc{
			"id": demoID(id + "line"), "payable_id": id, "name": e.bills[i%len(e.bills)], "quantity": 1, "unit": "unit",
			"unit_price": net, "subtotal": net, "tax": 2000, "tax_amount": tax, "total": net + tax,
		})
		add(st, e.id, "payables/"+id+"/history", Doc{
			"id": demoID(id + "history"), "payable_id": id, "timestamp": at, "entity_user_id": e.users[0].id,
			"event_type": "payable_created", "event_data": Doc{"payable_source": "upload"},
		})
	}
}

// payableID is the id of a demo company's payable. The bakery's first new one
// has an id that people know.
func payableID(owner string, i int) string {
	if owner == DemoEntityID && i == slices.Index(demoPayableStatuses, "new") {
		return DemoPayableID
	}
	return demoID(owner + "payable" + strconv.Itoa(i))
}

func rawParty(p demoParty) Doc {
	return Doc{
		"name": p.name, "email": p.email, "address": p.address,
		"vat_id": Doc{"country": p.address["country"], "type": "eu_vat", "value": p.vat},
	}
}

// settle makes the amounts agree with the status.
func settle(d Doc, status string, issued time.Time) {
	total := number(d["total_amount"])
	paid := 0
	switch status {
	case "paid":
		paid = total
		d["paid_at"] = schema.Timestamp(issued.AddDate(0, 0, 21))
	case "partially_paid":
		paid = total / 2
	}
	setPaid(d, paid)
}

func addReceivables(st *state.Store, e demoEntity, now time.Time) {
	entity := st.At("", "entities").Get(e.id)
	for i := range e.receivables {
		status := demoReceivableStatuses[i%len(demoReceivableStatuses)]
		id := demoID(e.id + "receivable" + strconv.Itoa(i))
		if e.id == DemoEntityID && i == 4 { // the first draft
			id = DemoReceivableID
		}
		party := 2 + i%2 // the last two are customers
		made, days := now.AddDate(0, 0, -6*(e.receivables-i)), 90
		if status == "overdue" {
			days = 1
		}
		at, product := schema.Timestamp(made), demoID(e.id+"product"+strconv.Itoa(i%len(e.sales)))
		d := Doc{
			"id": id, "created_at": at, "updated_at": at, "type": "invoice", "status": status,
			"counterpart_id": partyID(e, party), "currency": "EUR", "entity_user_id": e.users[0].id, "memo": e.sales[i%len(e.sales)],
			"tags": []any{}, "line_items": []any{Doc{"product_id": product, "quantity": 1 + i%3, "tax_rate_value": 2000}},
		}
		addSeller(d, entity)
		addBuyer(d, st.At(e.id, "counterparts").Get(partyID(e, party)), st.At(e.id, "counterparts/"+partyID(e, party)+"/addresses").All()[0])
		_ = priceLines(d, &pricer{product: st.At(e.id, "products").Get, unit: st.At(e.id, "measure_units").Get, rate: taxRate, country: text(e.address["country"])})
		addTotals(d)
		settle(d, status, made)
		if status != "draft" {
			d["issue_date"], d["due_date"] = at, made.AddDate(0, 0, days).UTC().Format(time.DateOnly)
			d["document_id"] = fmt.Sprintf("INV-%05d", i+1)
		}
		add(st, e.id, "receivables", d)
		addEvent(st, e.id, "receivable", id, at)
		add(st, e.id, "receivables/"+id+"/history", Doc{
			"id": demoID(id + "history"), "receivable_id": id, "timestamp": at, "entity_user_id": e.users[0].id,
			"event_type": "receivable_created", "event_data": Doc{},
		})
	}
}

// addEvent adds the event of a document's creation.
func addEvent(st *state.Store, owner, object, id, at string) {
	add(st, "", "events", Doc{
		"id": demoID(id + "event"), "created_at": at, "action": object + ".created", "api_version": schema.Published().Version,
		"description": object + "_was_created_event", "entity_id": owner, "object": Doc{"id": id}, "object_type": object,
	})
}

// addQuotes adds quotes to accept, to send and to issue, and a credit note.
func addQuotes(st *state.Store, e demoEntity, now time.Time) {
	for i, status := range []string{"issued", "draft", "accepted", "issued"} {
		source := st.At(e.id, "receivables").All()[i]
		made := now.AddDate(0, 0, -2)
		at := schema.Timestamp(made)
		d := without(source, perDocument...)
		d["id"], d["type"], d["status"], d["created_at"], d["updated_at"] = demoID(e.id+"quote"+strconv.Itoa(i)), "quote", status, at, at
		prefix := "QUO"
		if i == 3 {
			d["type"], d["based_on"], d["based_on_document_id"], prefix = "credit_note", source["id"], source["document_id"], "CN"
		}
		d["related_documents"] = Doc{"credit_note_ids": []any{}}
		d["amount_paid"] = 0
		addTotals(d)
		if status != "draft" {
			d["issue_date"], d["document_id"] = at, fmt.Sprintf("%s-%05d", prefix, 1+i%3)
			d["expiry_date"] = made.AddDate(0, 0, 30).UTC().Format(time.DateOnly)
			d["due_date"] = d["expiry_date"]
		}
		add(st, e.id, "receivables", d)
		addEvent(st, e.id, "receivable", text(d["id"]), at)
	}
}
