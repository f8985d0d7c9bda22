package monitetest

import (
	"fmt"
	"hash/fnv"
	"strconv"
	"time"
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

func addPayables(st *store, e demoEntity, now time.Time) {
	named := false
	for i := range e.payables {
		status := demoPayableStatuses[i%len(demoPayableStatuses)]
		id := demoID(e.id + "payable" + strconv.Itoa(i))
		if e.id == DemoEntityID && status == "new" && !named {
			id, named = DemoPayableID, true
		}
		party, partyAt := e.parties[i%2], i%2 // the first two are suppliers
		issued := now.AddDate(0, 0, -4*(e.payables-i))
		net := demoAmount(id)
		tax := net / 5
		d := doc{
			"id": id, "created_at": timestamp(issued), "updated_at": timestamp(issued), "entity_id": e.id, "status": status,
			"document_id": fmt.Sprintf("%s-%04d", issued.UTC().Format("2006"), 1100+7*i), "description": e.bills[i%len(e.bills)],
			"counterpart_id": partyID(e, partyAt), "counterpart_raw_data": doc{"name": party.name, "vat_id": party.vat},
			"currency": "EUR", "subtotal": net, "tax": 2000, "tax_amount": tax, "total_amount": net + tax,
			"issued_at": dateOnly(issued), "due_date": dateOnly(issued.AddDate(0, 0, 30)), "paid_at": nil,
			"credit_notes": []doc{}, "tags": []doc{}, "payable_origin": "upload", "source_of_payable_data": "user_specified",
			"was_created_by_user_id": e.users[0].id, "file_id": nil,
		}
		settle(d, status, issued)
		st.at(e.id, "payables").add(d)
		lineID := demoID(id + "line")
		st.at(e.id, "payables/"+id+"/line_items").add(doc{
			"id": lineID, "payable_id": id, "name": e.bills[i%len(e.bills)], "quantity": 1, "unit": "unit",
			"unit_price": net, "subtotal": net, "tax": 2000, "tax_amount": tax, "total": net + tax,
		})
	}
}

// settle makes the amounts agree with the status.
func settle(d doc, status string, issued time.Time) {
	total := number(d["total_amount"])
	paid := 0
	switch status {
	case "paid":
		paid = total
		d["paid_at"] = timestamp(issued.AddDate(0, 0, 21))
	case "partially_paid":
		paid = total / 2
	}
	d["amount_paid"], d["amount_due"], d["amount_to_pay"] = paid, total-paid, total-paid
}

func addReceivables(st *store, e demoEntity, now time.Time) {
	for i := range e.receivables {
		status := demoReceivableStatuses[i%len(demoReceivableStatuses)]
		id := demoID(e.id + "receivable" + strconv.Itoa(i))
		if e.id == DemoEntityID && i == 4 { // the first draft
			id = DemoReceivableID
		}
		at := 2 + i%2 // the last two are customers
		made := now.AddDate(0, 0, -6*(e.receivables-i))
		if status == "overdue" {
			made = made.AddDate(0, 0, -30)
		}
		net := demoAmount(id)
		d := doc{
			"id": id, "created_at": timestamp(made), "updated_at": timestamp(made), "type": "invoice", "status": status,
			"counterpart_id": partyID(e, at), "counterpart_name": e.parties[at].name, "counterpart_type": "organization",
			"counterpart_billing_address": e.parties[at].address, "currency": "EUR", "entity_user_id": e.users[0].id,
			"document_id": nil, "issue_date": nil, "due_date": nil, "paid_at": nil, "memo": e.sales[i%len(e.sales)],
			"tags": []doc{}, "line_items": []doc{{
				"product":  doc{"id": demoID(e.id + "product" + strconv.Itoa(i%len(e.sales))), "name": e.sales[i%len(e.sales)], "price": doc{"value": net, "currency": "EUR"}},
				"quantity": 1, "total_before_vat": net, "total_after_vat": net + net/5,
			}},
		}
		fillEntity(d, st.at("", "entities").get(e.id))
		setTotals(d, net, net/5)
		settle(d, status, made)
		if status != "draft" {
			d["issue_date"], d["due_date"] = dateOnly(made), dateOnly(made.AddDate(0, 0, 30))
			d["document_id"] = fmt.Sprintf("INV-%s-%04d", made.UTC().Format("2006"), 210+i)
		}
		st.at(e.id, "receivables").add(d)
	}
}
