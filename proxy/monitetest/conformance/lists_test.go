package conformance

import (
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
)

// listing is an operation that lists a collection, and a target of it.
type listing struct {
	operation
	target string
}

func (a *app) lists() (found []listing) {
	for _, op := range a.d.operations() {
		if op.method != "GET" || !slices.ContainsFunc(queryParameters(op), func(p map[string]any) bool { return p["name"] == "limit" }) {
			continue
		}
		targets := a.targets(op)
		if len(targets) == 0 {
			continue
		}
		g := &generator{d: a.d, ids: a.id}
		query := g.query(op)
		if op.path == "/comments" {
			query = "object_type=payable&object_id=" + a.commented()
		}
		found = append(found, listing{op, targets[0] + "?" + query})
	}
	return found
}

func (a *app) rows(target string) (rows []map[string]any, next string, status int) {
	reply := a.send("GET", target, "", nil, a.partner)
	var list struct {
		Data []map[string]any
		Next string `json:"next_pagination_token"`
	}
	_ = json.Unmarshal(reply.Body.Bytes(), &list)
	return list.Data, list.Next, reply.Code
}

func idsOf(rows []map[string]any) (ids []string) {
	for _, row := range rows {
		ids = append(ids, fmt.Sprint(row["id"]))
	}
	return ids
}

// Pages of one row give the rows of the whole list, in the same order.
func TestEveryListHasPages(t *testing.T) {
	a := newApp(t, load(t))
	count := 0
	for _, list := range a.lists() {
		op, target := list.operation, list.target
		all, _, status := a.rows(target)
		if status != 200 {
			t.Errorf("%s = %d", op, status)
			continue
		}
		if !strings.Contains(fmt.Sprint(op.spec["parameters"]), "pagination_token") {
			continue
		}
		count++
		var seen []map[string]any
		page := target + "&limit=1"
		for range len(all) + 1 {
			rows, next, _ := a.rows(page)
			seen = append(seen, rows...)
			if next == "" {
				break
			}
			page = target + "&pagination_token=" + url.QueryEscape(next)
		}
		if !slices.Equal(idsOf(seen), idsOf(all)) {
			t.Errorf("%s: pages of one give %d rows, the list %d", op, len(seen), len(all))
		}
	}
	t.Logf("%d lists paged", count)
}

// Every published sort field turns round with the order, and every published
// filter takes the value of a row that is there and finds that row.
func TestEveryFilterAndSortIsUsed(t *testing.T) {
	d := load(t)
	a := newApp(t, d)
	filters, sorts := 0, 0
	for _, list := range a.lists() {
		op, target := list.operation, list.target
		all, _, _ := a.rows(target)
		for _, p := range queryParameters(op) {
			name := p["name"].(string)
			s := d.resolve(p["schema"].(schemaDoc))
			switch {
			case name == "sort":
				members, _ := s["enum"].([]any)
				for _, field := range members {
					up, _, status := a.rows(target + "&order=asc&sort=" + field.(string))
					down, _, _ := a.rows(target + "&order=desc&sort=" + field.(string))
					slices.Reverse(down)
					if status != 200 || len(up) != len(all) || !slices.Equal(idsOf(up), idsOf(down)) {
						t.Errorf("%s: sort by %s is %d, %d up, %d down", op, field, status, len(up), len(down))
					}
					if field == "created_at" && !slices.IsSortedFunc(up, func(a, b map[string]any) int {
						return strings.Compare(fmt.Sprint(a["created_at"]), fmt.Sprint(b["created_at"]))
					}) {
						t.Errorf("%s: not in the order of created_at", op)
					}
					sorts++
				}
			default:
				if tried, problem := a.tryFilter(op, target, name, all); problem != "" {
					t.Errorf("%s: %s", op, problem)
				} else if tried {
					filters++
				}
			}
		}
	}
	t.Logf("%d filters and %d sort fields tried", filters, sorts)
	if filters < 200 {
		t.Errorf("%d filters could be tried, want at least 200", filters)
	}
}

// tryFilter asks for what a row has, and for more than any row has.
func (a *app) tryFilter(op operation, target, name string, all []map[string]any) (tried bool, problem string) {
	field, operator, _ := strings.Cut(name, "__")
	for _, row := range all {
		value, ok := row[field]
		switch value.(type) {
		case string, float64, bool:
		default:
			ok = false
		}
		if !ok || strings.Contains(target, "&"+name) || strings.Contains(target, "?"+name) {
			continue
		}
		text := fmt.Sprint(value)
		if f, isNumber := value.(float64); isNumber {
			text = fmt.Sprintf("%.0f", f)
		}
		rows, _, status := a.rows(target + "&" + url.Values{name: {text}}.Encode())
		if status != 200 {
			return true, fmt.Sprintf("%s=%s is %d", name, text, status)
		}
		found := slices.Contains(idsOf(rows), fmt.Sprint(row["id"]))
		excludes := slices.Contains([]string{"gt", "lt", "not_in", "ncontains"}, operator)
		if found == excludes {
			return true, fmt.Sprintf("%s=%s finds its row: %v", name, text, found)
		}
		return true, ""
	}
	return false, ""
}

// A published filter leaves out what has no such value, also where responses do not
// show the field.
func TestEveryFilterLeavesOutWhatHasNoSuchValue(t *testing.T) {
	d := load(t)
	a := newApp(t, d)
	filters := 0
	for _, list := range a.lists() {
		if list.path == "/vat_rates" {
			continue // its parameters choose a country
		}
		for _, p := range queryParameters(list.operation) {
			name := p["name"].(string)
			value := d.nowhere(name, p["schema"].(schemaDoc))
			if value == "" || strings.Contains(list.target, "?"+name) || strings.Contains(list.target, "&"+name) {
				continue
			}
			if rows, _, status := a.rows(list.target + "&" + url.Values{name: {value}}.Encode()); status != 200 || len(rows) > 0 {
				t.Errorf("%s: %s=%s is %d with %d rows, want none", list.operation, name, value, status, len(rows))
			}
			filters++
		}
	}
	if t.Logf("%d filters tried", filters); filters < 150 {
		t.Errorf("%d filters could be tried, want at least 150", filters)
	}
}

// nowhere returns a value for a filter that no document has, or nothing for filters
// that need not know one.
func (d *document) nowhere(name string, s schemaDoc) string {
	s = d.chosen(s, nil)
	if items, is := s["items"].(schemaDoc); is {
		s = d.chosen(items, nil)
	}
	_, operator, _ := strings.Cut(name, "__")
	switch format := s["format"]; {
	case operator == "not_in":
	case format == "uuid":
		return "00000000-0000-4000-8000-000000000000"
	case (format == "date" || format == "date-time") && strings.HasPrefix(operator, "g"):
		return "2099-01-01"
	case format == "date" || format == "date-time":
		return "1999-01-01"
	}
	return ""
}
