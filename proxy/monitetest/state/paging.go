package state

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"slices"
)

// Page says where a list begins and how it goes on. As a pagination token it is
// opaque and holds the whole query: Monite ignores the other parameters then.
type Page struct {
	From  *int   `json:"f,omitempty"` // number of the row to begin at; nil is the first page
	Limit int    `json:"l"`
	Query string `json:"q,omitempty"` // the query that the token stands for
}

// Token returns the page that begins at a row, as a pagination token.
func (p Page) Token(from int) string {
	p.From = &from
	text, _ := json.Marshal(p)
	return base64.RawURLEncoding.EncodeToString(text)
}

// ParseToken reads what Token made.
func ParseToken(token string) (p Page, err error) {
	text, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil || json.Unmarshal(text, &p) != nil || p.From == nil || p.Limit < 1 {
		return Page{}, errors.New("the pagination token is invalid")
	}
	return p, nil
}

// Cut returns the rows of the page, and the tokens of the next page and of the
// one before; a token is empty where there is no such page.
//
// A row that was removed since the token was made leaves no gap: the page then
// begins with the first row behind it, in the order of their making.
func (p Page) Cut(rows []*Row, descending bool) (page []*Row, next, previous string) {
	start := 0
	if p.From != nil {
		if start = slices.IndexFunc(rows, func(r *Row) bool { return r.Number == *p.From }); start < 0 {
			start = slices.IndexFunc(rows, func(r *Row) bool {
				return descending && r.Number <= *p.From || !descending && r.Number >= *p.From
			})
		}
		if start < 0 {
			start = len(rows)
		}
	}
	end := min(start+p.Limit, len(rows))
	if end < len(rows) {
		next = p.Token(rows[end].Number)
	}
	if start > 0 {
		previous = p.Token(rows[max(0, start-p.Limit)].Number)
	}
	return rows[start:end], next, previous
}
