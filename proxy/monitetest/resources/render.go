package resources

import (
	"encoding/json"

	"github.com/monite-proxy/monite-proxy/proxy/monitetest/schema"
	"github.com/monite-proxy/monite-proxy/proxy/monitetest/state"
)

// render makes the response from a handler's value.
func (c *call) render(value any) *Reply {
	reply := &Reply{}
	if c.Op.Response == nil {
		return reply
	}
	reply.ContentType = "application/json"
	switch value := value.(type) {
	case *page:
		reply.Body = c.renderPage(value)
	case *state.Row:
		reply.Body = c.renderRow(c.Op.Response, value)
	default:
		reply.Body = c.renderValue(c.Op.Response, value)
	}
	return reply
}

func (c *call) renderValue(s *schema.Schema, value any) []byte {
	if value == nil {
		value = Doc{}
	}
	m := c.maker(text(object(value)["id"]) + c.id)
	fitted, ok := m.Project(s, value)
	if !ok {
		fitted = m.Fill(s)
	}
	body, err := json.Marshal(fitted)
	if err != nil {
		panic("resources: response is not JSON: " + err.Error())
	}
	return body
}

// rendered is the JSON of a row by one schema.
type rendered struct {
	by   *schema.Schema
	body []byte
}

func (c *call) renderRow(s *schema.Schema, row *state.Row) []byte {
	if known, ok := row.Rendered.Load().(rendered); ok && known.by == s {
		return known.body
	}
	body := c.renderValue(s, row.Doc)
	row.Rendered.Store(rendered{s, body})
	return body
}
