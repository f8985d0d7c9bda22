package monitetest

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strconv"
)

// page is where a list begins and how it goes on. As a pagination_token it is
// opaque and holds the whole query: Monite ignores the other parameters then.
type page struct {
	From   *int   `json:"f,omitempty"` // row number to begin at; nil is the first page
	Limit  int    `json:"l"`
	Order  string `json:"o"`
	Filter string `json:"q,omitempty"`
}

func (p page) token(from int) string {
	p.From = &from
	text, _ := json.Marshal(p)
	return base64.RawURLEncoding.EncodeToString(text)
}

func parsePage(query url.Values) (page, *answer) {
	if token := query.Get("pagination_token"); token != "" {
		var p page
		text, err := base64.RawURLEncoding.DecodeString(token)
		if err != nil || json.Unmarshal(text, &p) != nil || p.From == nil || p.Limit < 1 {
			return page{}, failure(http.StatusBadRequest, "bad_request", "The pagination token is invalid")
		}
		return p, nil
	}
	p := page{Limit: 100, Order: "asc"}
	if text := query.Get("limit"); text != "" {
		limit, err := strconv.Atoi(text)
		switch {
		case err != nil:
			return page{}, invalid(problem{[]string{"query", "limit"}, "value is not a valid integer", "type_error.integer"})
		case limit < 1:
			return page{}, invalid(problem{[]string{"query", "limit"}, "ensure this value is greater than or equal to 1", "value_error.number.not_ge"})
		case limit > 100:
			return page{}, invalid(problem{[]string{"query", "limit"}, "ensure this value is less than or equal to 100", "value_error.number.not_le"})
		}
		p.Limit = limit
	}
	if order := query.Get("order"); order != "" {
		if order != "asc" && order != "desc" {
			return page{}, invalid(problem{[]string{"query", "order"},
				"value is not a valid enumeration member; permitted: 'asc', 'desc'", "type_error.enum"})
		}
		p.Order = order
	}
	filter := url.Values{}
	for name, values := range query {
		if !slices.Contains(notFilters, name) {
			filter[name] = values
		}
	}
	p.Filter = filter.Encode()
	return p, nil
}

var notFilters = []string{"limit", "order", "sort", "pagination_token", "sim_nonce"}

// listRows answers a GET of a collection.
func listRows(rows []*row, query url.Values) *answer {
	p, refusal := parsePage(query)
	if refusal != nil {
		return refusal
	}
	filter, _ := url.ParseQuery(p.Filter)
	rows = filterRows(rows, filter)
	if p.Order == "desc" {
		slices.Reverse(rows)
	}
	start := 0
	if p.From != nil {
		start = slices.IndexFunc(rows, func(r *row) bool {
			if p.Order == "desc" {
				return r.number <= *p.From
			}
			return r.number >= *p.From
		})
		if start < 0 {
			start = len(rows)
		}
	}
	end := min(start+p.Limit, len(rows))
	data := make([]doc, 0, end-start)
	for _, r := range rows[start:end] {
		data = append(data, r.doc)
	}
	body := doc{"data": data, "next_pagination_token": nil, "prev_pagination_token": nil}
	if end < len(rows) {
		body["next_pagination_token"] = p.token(rows[end].number)
	}
	if start > 0 {
		body["prev_pagination_token"] = p.token(rows[max(0, start-p.Limit)].number)
	}
	return jsonAnswer(http.StatusOK, body)
}
