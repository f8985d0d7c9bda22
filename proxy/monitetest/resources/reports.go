package resources

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/monite-proxy/monite-proxy/proxy/monitetest/state"
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
		"GET analytics/payables":                         analyse("payables"),
		"GET analytics/receivables":                      analyse("receivables"),
		"GET analytics/credit_notes":                     analyse("payable_credit_notes"),
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
			made := dayOf(text(document["created_at"]))
			if strings.Contains(statuses, text(document["status"])+" ") && made >= text(d["date_from"]) && made <= text(d["date_to"]) {
				count++
			}
		}
	}
	d["count"], d["status"], d["language"] = count, "pending", "en"
	d["start_datetime"], d["end_datetime"] = text(d["date_from"])+"T00:00:00+00:00", text(d["date_to"])+"T23:59:59+00:00"
	id := text(d["id"])
	c.later(func(c *call) {
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

// analyse groups the documents that the query chooses by a dimension, and
// aggregates a metric of each group.
func analyse(kind string) handler {
	return func(c *call) (any, error) {
		query := without(c.query, "dimension", "metric", "aggregation_function", "date_dimension_breakdown", "limit")
		chosen, err := c.pageBy(c.at(kind).Rows(), query)
		if err != nil {
			return nil, err
		}
		groups := map[string][]int{}
		for _, row := range chosen.rows {
			key := c.groupOf(row)
			groups[key] = append(groups[key], c.metric(row.Doc))
		}
		data := []any{}
		for _, key := range slices.Sorted(maps.Keys(groups)) {
			point := Doc{"metric_value": aggregate(text(c.query["aggregation_function"]), groups[key])}
			if key != "" {
				point["dimension_value"] = key
			}
			data = append(data, point)
		}
		return Doc{"data": data}, nil
	}
}

func (c *call) metric(d Doc) int {
	if metric := text(c.query["metric"]); metric != "id" {
		return number(first(d[metric], d["total_amount"]))
	}
	return 1
}

func (c *call) groupOf(row *state.Row) string {
	dimension := text(c.query["dimension"])
	value := state.Text(row.Doc[dimension])
	if len(value) < 10 || dimension != "created_at" && dimension != "issued_at" && dimension != "issue_date" && dimension != "due_date" {
		return value
	}
	at, err := time.Parse(time.DateOnly, value[:10])
	if err != nil {
		return value
	}
	switch c.query["date_dimension_breakdown"] {
	case "weekly":
		return day(at.AddDate(0, 0, -(int(at.Weekday())+6)%7))
	case "monthly":
		return at.Format("2006-01") + "-01"
	case "quarterly":
		return fmt.Sprintf("%d-%02d-01", at.Year(), (int(at.Month())-1)/3*3+1)
	case "yearly":
		return at.Format("2006") + "-01-01"
	}
	return value[:10]
}

func aggregate(function string, values []int) int {
	sum := 0
	for _, value := range values {
		sum += value
	}
	switch function {
	case "count":
		return len(values)
	case "average":
		return sum / len(values)
	case "min":
		return slices.Min(values)
	case "max":
		return slices.Max(values)
	}
	return sum
}
