package resources

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/monite-proxy/monite-proxy/proxy/monitetest/state"
)

func init() {
	behave(nil, map[string]handler{
		"GET analytics/payables":     analyse("payables"),
		"GET analytics/receivables":  analyse("receivables"),
		"GET analytics/credit_notes": analyse("payable_credit_notes"),
	})
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
		return at.Format("2006-01-01")
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
