package resources

import (
	"bytes"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/monite-proxy/monite-proxy/proxy/monitetest/state"
)

// page is the part of a list that is shown.
type page struct {
	rows           []*state.Row
	next, previous string
}

// notFilters are the query parameters that do not choose rows.
var notFilters = []string{"limit", "order", "sort", "pagination_token", "offset", "sim_nonce"}

// page filters, sorts and cuts the rows as the query says.
func (c *call) page(rows []*state.Row) (*page, error) { return c.pageBy(rows, c.query) }

// pageBy is page for a query that came as values: of the URL or of a body.
func (c *call) pageBy(rows []*state.Row, query Doc) (*page, error) {
	cut := state.Page{Limit: c.limit(query)}
	if token := text(query["pagination_token"]); token != "" {
		var err error
		if cut, err = state.ParseToken(token); err != nil {
			return nil, badRequest("The pagination token is invalid")
		}
		query = decodeQuery(cut.Query)
	} else {
		cut.Query = encodeQuery(query)
	}
	k := c.kindOf(c.listTemplate())
	for name, value := range query {
		if slices.Contains(notFilters, name) {
			continue
		}
		filter := state.ParseFilter(name, valuesOf(value)...)
		if len(filter.Values) == 0 {
			continue
		}
		switch _, isList := value.([]any); {
		case isList && filter.Operator == "":
			filter.Operator = "in"
		case name == "search_text":
			filter.Operator = "icontains"
		}
		rows = slices.DeleteFunc(slices.Clone(rows), func(r *state.Row) bool {
			return !filter.Matches(c.fieldValues(k, r.Doc, filter.Field)...)
		})
	}
	descending := query["order"] == "desc"
	var field func(Doc) any
	if by := text(query["sort"]); by != "" {
		field = func(d Doc) any { return first(c.fieldValues(k, d, by)...) }
	}
	rows = state.Sort(rows, field, descending)
	if offset := number(query["offset"]); offset > 0 {
		rows = rows[min(offset, len(rows)):]
	}
	out := &page{}
	out.rows, out.next, out.previous = cut.Cut(rows, descending)
	return out, nil
}

// listTemplate is the path of the collection that is listed, with {names}.
func (c *call) listTemplate() string { return strings.TrimSuffix(c.template(), "/search") }

func (c *call) limit(query Doc) int {
	if limit, ok := query["limit"].(int); ok {
		return limit
	}
	for _, p := range c.Op.Query {
		if p.Name == "limit" {
			if limit, err := strconv.Atoi(string(p.Default)); err == nil {
				return limit
			}
			return 100
		}
	}
	if _, is := query["limit"]; !is && c.Op.Body == nil {
		return 1 << 30 // the list has no pages
	}
	return 100
}

func valuesOf(value any) []string {
	items, ok := value.([]any)
	if !ok {
		return []string{state.Text(value)}
	}
	out := make([]string, len(items))
	for i, item := range items {
		out[i] = state.Text(item)
	}
	return out
}

// encodeQuery keeps a query in a pagination token. Lists are marked, so that
// one value stays a list.
func encodeQuery(query Doc) string {
	values := url.Values{}
	for name, value := range query {
		if name == "limit" || name == "pagination_token" {
			continue
		}
		if _, isList := value.([]any); isList {
			name += "[]"
		}
		values[name] = valuesOf(value)
	}
	return values.Encode()
}

func decodeQuery(text string) Doc {
	values, _ := url.ParseQuery(text)
	query := Doc{}
	for name, sent := range values {
		if field, isList := strings.CutSuffix(name, "[]"); isList {
			items := make([]any, len(sent))
			for i, item := range sent {
				items[i] = item
			}
			query[field] = items
		} else {
			query[name] = sent[0]
		}
	}
	return query
}

// renderPage writes a list; the items' JSON is kept with their rows.
func (c *call) renderPage(p *page) []byte {
	d := Doc{"next_pagination_token": nil, "prev_pagination_token": nil, "data": []any{}}
	if p.next != "" {
		d["next_pagination_token"] = p.next
	}
	if p.previous != "" {
		d["prev_pagination_token"] = p.previous
	}
	frame := c.renderValue(c.Op.Response, d)
	before, after, _ := bytes.Cut(frame, []byte(`"data":[]`))
	item := listItem(c.Op)
	var buf bytes.Buffer
	buf.Write(before)
	buf.WriteString(`"data":[`)
	for i, row := range p.rows {
		if i > 0 {
			buf.WriteByte(',')
		}
		buf.Write(c.renderRow(item, row))
	}
	buf.WriteByte(']')
	buf.Write(after)
	return buf.Bytes()
}
