package resources

import (
	"strings"
	"time"
)

func init() {
	behave(map[string]*kind{
		"data_exports": {object: "export", fill: fillExport},
	}, map[string]handler{
		"GET data_exports/supported_formats": func(*call) (any, error) {
			return []any{
				Doc{"object_type": "payable", "available_types": Doc{"csv": Doc{}, "xlsx": Doc{}}},
				Doc{"object_type": "receivable", "available_types": Doc{"csv": Doc{}, "xlsx": Doc{}}},
			}, nil
		},
		"DELETE data_exports/extra_data/{extra_data_id}": func(c *call) (any, error) { return c.remove() },
		"GET accounting/payables":                        accounting("payables"),
		"GET accounting/payables/{payable_id}":           accountingOne,
		"GET accounting/receivables":                     accounting("receivables"),
		"GET accounting/receivables/{invoice_id}":        accountingOne,
	})
}

// fillExport counts what the export is of; the file is there two seconds
// later.
func fillExport(c *call, d Doc) error {
	count := 0
	for _, wanted := range list(d["objects"]) {
		statuses := strings.Join(texts(wanted["statuses"]), " ") + " "
		for _, document := range c.at(text(wanted["name"]) + "s").All() {
			made := text(document["created_at"])[:10]
			if strings.Contains(statuses, text(document["status"])+" ") && made >= text(d["date_from"]) && made <= text(d["date_to"]) {
				count++
			}
		}
	}
	d["count"], d["status"], d["language"] = count, "pending", "en"
	d["start_datetime"], d["end_datetime"] = text(d["date_from"])+"T00:00:00+00:00", text(d["date_to"])+"T23:59:59+00:00"
	id := text(d["id"])
	c.api.agenda.add(c.api.now().Add(2*time.Second), func() {
		done, _ := c.update(c.at("data_exports"), id, func(d Doc) error {
			d["status"], d["source_url"] = "succeeded", fileURL("exports/"+id+".zip")
			return nil
		})
		if done != nil {
			c.event("export", "completed", done)
		}
	})
	return nil
}

// accounting shows documents as an accounting system has them.
func accounting(kind string) handler {
	return func(c *call) (any, error) {
		shown := []any{}
		for _, d := range c.at(kind).All() {
			if kind == "payables" || d["type"] == "invoice" {
				shown = append(shown, c.booked(d))
			}
		}
		offset := min(number(c.query["offset"]), len(shown))
		return Doc{"data": shown[offset:min(len(shown), offset+c.limit(c.query))]}, nil
	}
}

func accountingOne(c *call) (any, error) { return c.booked(c.rows().Get(c.id)), nil }

func (c *call) booked(d Doc) Doc {
	ref := Doc{"id": d["counterpart_id"], "name": c.counterpartName(d)}
	return Doc{
		"id": d["id"], "currency": d["currency"], "currency_rate": 1, "due_date": d["due_date"], "invoice_number": d["document_id"],
		"memo": first(d["memo"], d["description"]), "posted_date": first(d["issued_at"], d["issue_date"]), "status": d["status"],
		"subtotal": d["subtotal"], "tax_amount": d["tax_amount"], "total_amount": first(d["total_amount"], 0), "amount_due": d["amount_due"],
		"vendor_ref": ref, "customer_ref": ref,
	}
}
