package monitetest

import (
	"bytes"
	_ "embed" // the page
	"fmt"
	"html/template"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

//go:embed page.html
var pageText string

// pageTemplate is parsed when the page is first opened.
var pageTemplate = sync.OnceValue(func() *template.Template {
	return template.Must(template.New("page").Funcs(template.FuncMap{
		"at":    func(t time.Time) string { return t.UTC().Format("15:04:05.000") },
		"place": place,
	}).Parse(pageText))
})

// place writes the loc of a problem as body.line_items.0.quantity.
func place(loc []any) string {
	steps := make([]string, len(loc))
	for i, step := range loc {
		steps[i] = fmt.Sprint(step)
	}
	return strings.Join(steps, ".")
}

// shown is the page's content.
type shown struct {
	Now    time.Time
	Stats  Stats
	State  []counted
	Twice  []Write
	Writes []Write
	Faults []Fault
	Calls  []Request
	Known  []string
}

// counted is one collection and its size.
type counted struct {
	Owner, Path string
	Count       int
}

// maxShown bounds the lists of the page.
const maxShown = 50

// page is for people: state, ledger, faults, and the last calls with what the
// published document says against them.
func (s *Simulator) page() *answer {
	p := shown{Now: s.now(), Stats: s.Stats(), Faults: s.Faults(), Known: s.snapshotNames()}
	store := s.api.Store()
	for _, key := range store.Keys() {
		if count := len(store.At(key.Owner, key.Path).Rows()); count > 0 && key.Path[0] != '_' {
			p.State = append(p.State, counted{key.Owner, key.Path, count})
		}
	}
	for _, w := range s.Ledger() {
		if w.Executed > 1 {
			p.Twice = append(p.Twice, w)
		}
		p.Writes = append(p.Writes, w)
	}
	p.Calls = s.Requests()
	p.Writes, p.Calls = lastFew(p.Writes), lastFew(p.Calls)
	var buf bytes.Buffer
	if err := pageTemplate().Execute(&buf, p); err != nil {
		panic("monitetest: page: " + err.Error())
	}
	return (&answer{status: http.StatusOK, body: buf.Bytes()}).set("Content-Type", "text/html; charset=utf-8").
		set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'").set("Cache-Control", "no-store")
}

// lastFew returns the last entries, newest first.
func lastFew[T any](all []T) []T {
	all = slices.Clone(all[max(0, len(all)-maxShown):])
	slices.Reverse(all)
	return all
}
