package admin

import (
	"bytes"
	"cmp"
	"embed"
	"fmt"
	"html/template"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
)

//go:embed page
var pageFiles embed.FS

// templates are the page and its sections, of page/page.html.
var templates = sync.OnceValue(func() *template.Template {
	functions := template.FuncMap{
		"short": shortTime, "ms": milliseconds, "percent": percent, "clock": clockTime, "rfc3339": rfc3339, "abs": math.Abs, "segment": url.PathEscape,
		"shown": shown, "tokenBar": tokenBar, "bars": bars,
	}
	return template.Must(template.New("").Funcs(functions).ParseFS(pageFiles, "page/page.html"))
})

// sections are the parts of the page that change: the id of an element, the name
// of an event, and the name of a template.
var sections = [...]string{"summary", "writes", "traffic", "identities", "named", "mints", "requests"}

// render draws the page or one section. Only a template that does not fit the
// types can fail, and the tests draw each.
func render(name string, s *Status) []byte {
	var out bytes.Buffer
	if err := templates().ExecuteTemplate(&out, name, s); err != nil {
		panic("admin: " + err.Error())
	}
	return out.Bytes()
}

const (
	// maxViewers bounds the open event streams: each renders the page once a second.
	// The oldest makes room: its browser reconnects if the page is still open.
	maxViewers = 8
	// viewerTimeout ends a stream whose reader does not read.
	viewerTimeout = 5 * time.Second
)

// page serves the status page and its events.
type page struct {
	current func() *Status
	every   time.Duration // between two events
	once    sync.Once
	closing chan struct{} // closed: every stream ends

	mu      sync.Mutex      // guards viewers
	viewers []chan struct{} // of the open streams, the oldest first; closed: it ends
}

func newPage(current func() *Status) *page {
	return &page{current: current, every: time.Second, closing: make(chan struct{})}
}

// close ends every stream, for good.
func (p *page) close() { p.once.Do(func() { close(p.closing) }) }

func (p *page) show(w http.ResponseWriter, r *http.Request) {
	page := render("page", p.current())
	secure(w.Header())
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Length", fmt.Sprint(len(page)))
	if r.Method != http.MethodHead {
		_, _ = w.Write(page)
	}
}

// secure sets the headers that allow nothing inline, nothing from elsewhere, and no
// frame around the page. The referrer is for our own origin, because a form without
// one sends the Origin "null".
func secure(header http.Header) {
	header.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "+
		"img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
	header.Set("Referrer-Policy", "same-origin")
	header.Set("X-Frame-Options", "DENY")
	header.Set("Cross-Origin-Opener-Policy", "same-origin")
	header.Set("Cross-Origin-Resource-Policy", "same-origin")
}

// file serves one embedded file.
func (p *page) file(name, contentType string) http.HandlerFunc {
	text, err := pageFiles.ReadFile("page/" + name)
	if err != nil {
		panic("admin: " + err.Error())
	}
	return func(w http.ResponseWriter, r *http.Request) {
		secure(w.Header())
		w.Header().Set("Content-Type", contentType)
		w.Header().Set("Content-Length", fmt.Sprint(len(text)))
		if r.Method != http.MethodHead {
			_, _ = w.Write(text)
		}
	}
}

// events streams the sections that have changed, as server-sent events. It
// ends when the reader goes or does not read, and when the process stops.
func (p *page) events(w http.ResponseWriter, r *http.Request) {
	gone := p.enter()
	defer p.leave(gone)
	control := http.NewResponseController(w)
	secure(w.Header())
	w.Header().Set("Content-Type", "text/event-stream")
	ticker := time.NewTicker(p.every)
	defer ticker.Stop()
	sent := map[string]string{}
	for {
		_ = control.SetWriteDeadline(time.Now().Add(viewerTimeout))
		if _, err := w.Write(p.changes(sent)); err != nil || control.Flush() != nil {
			return
		}
		select {
		case <-ticker.C:
		case <-r.Context().Done():
			return
		case <-p.closing:
			return
		case <-gone:
			return
		}
	}
}

// enter counts a stream in. What it returns is closed when the stream has to end.
func (p *page) enter() (gone chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.viewers) >= maxViewers {
		close(p.viewers[0])
		p.viewers = slices.Delete(p.viewers, 0, 1)
	}
	gone = make(chan struct{})
	p.viewers = append(p.viewers, gone)
	return gone
}

func (p *page) leave(gone chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.viewers = slices.DeleteFunc(p.viewers, func(one chan struct{}) bool { return one == gone })
}

// changes renders the sections and returns those that are not as they were
// sent.
func (p *page) changes(sent map[string]string) []byte {
	status := p.current()
	out := bytes.NewBufferString(": \n") // says that we are alive
	for _, name := range sections {
		// To render 200 lines in order to see that they are the same is 9 parts of
		// 10 of the work.
		version := fmt.Sprint(status.versions[name])
		if version != "0" && version == sent[name+" version"] {
			continue
		}
		sent[name+" version"] = version
		part := string(render(name, status))
		if part == sent[name] {
			continue
		}
		sent[name] = part
		fmt.Fprintf(out, "event: %s\n", name)
		// A lone carriage return ends a line of an event too.
		for line := range strings.Lines(strings.ReplaceAll(part, "\r", "\n")) {
			if line = strings.TrimSpace(line); line != "" {
				fmt.Fprintf(out, "data: %s\n", line)
			}
		}
		out.WriteByte('\n')
	}
	out.WriteByte('\n')
	return out.Bytes()
}

// shortTime writes seconds for people: 4.12 ms, 2.35 s, 4 m 5 s, 3 h 10 m, 2 d 4 h.
func shortTime(seconds float64) string {
	sign := ""
	if seconds < 0 {
		sign, seconds = "-", -seconds
	}
	switch whole := int64(seconds); {
	case seconds == 0:
		return "0 s"
	case seconds < 1:
		return sign + milliseconds(seconds)
	case seconds < 60:
		return sign + threeDigits(seconds) + " s"
	case whole < 3600:
		return fmt.Sprintf("%s%d m %d s", sign, whole/60, whole%60)
	case whole < 86400:
		return fmt.Sprintf("%s%d h %d m", sign, whole/3600, whole%3600/60)
	default:
		return fmt.Sprintf("%s%d d %d h", sign, whole/86400, whole%86400/3600)
	}
}

func milliseconds(seconds float64) string { return threeDigits(1000*seconds) + " ms" }

func threeDigits(value float64) string {
	switch {
	case value < 9.995:
		return fmt.Sprintf("%.2f", value)
	case value < 99.95:
		return fmt.Sprintf("%.1f", value)
	}
	return fmt.Sprintf("%.0f", value)
}

func percent(share float64) string {
	switch {
	case share > 0 && share < 0.001:
		return "< 0.1 %"
	case share < 0.1:
		return fmt.Sprintf("%.1f %%", 100*share)
	default:
		return fmt.Sprintf("%.0f %%", 100*share)
	}
}

func clockTime(at time.Time) string { return at.Format("15:04:05") }

func rfc3339(at time.Time) string { return at.Format(time.RFC3339) }

// shownIdentities bounds the cards: a thousand of them, once a second, would be
// more work than the proxy's own.
const shownIdentities = 60

// shown returns the identities worth showing: the default, those with trouble, then
// those used last.
func shown(all []GrantStatus) []GrantStatus {
	all = slices.Clone(all)
	first := func(one GrantStatus) int { return interest(one.Default, one.LastError != nil) }
	slices.SortStableFunc(all, func(a, b GrantStatus) int {
		if len(all) <= shownIdentities {
			return cmp.Compare(first(a), first(b)) // a card that stays in its place is easier to watch
		}
		return cmp.Or(cmp.Compare(first(a), first(b)), cmp.Compare(a.Idle, b.Idle))
	})
	return all[:min(len(all), shownIdentities)]
}

// barWidth is the width of a token's bar in its own units.
const barWidth = 1000

// tokenBarShape says how far a token's bar is filled, and where it is marked.
type tokenBarShape struct{ Past, Refresh int }

// tokenBar is nil without a token.
func tokenBar(one GrantStatus) *tokenBarShape {
	life := one.Age + one.Left
	if one.State == "missing" || life <= 0 {
		return nil
	}
	at := func(seconds float64) int { return int(min(max(seconds/life, 0), 1) * barWidth) }
	return &tokenBarShape{at(one.Age), at(one.Age + one.RefreshIn)}
}

// slotBar is one bar of the chart of requests, in its own units.
type slotBar struct{ X, Y, Height, ErrorY, ErrorHeight int }

const chartHeight = 100

func bars(traffic Traffic) []slotBar {
	most := uint32(1)
	for _, s := range traffic.Slots {
		most = max(most, s.Requests)
	}
	var all []slotBar
	for i, s := range traffic.Slots {
		if s.Requests == 0 {
			continue
		}
		height := max(int(s.Requests*chartHeight/most), 2)
		errors := 0
		if s.Errors > 0 {
			errors = max(int(s.Errors*chartHeight/most), 2)
		}
		all = append(all, slotBar{10 * i, chartHeight - height, height, chartHeight - errors, errors})
	}
	return all
}
