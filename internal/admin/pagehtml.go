package admin

import (
	"fmt"
	"math"
	"strconv"
)

// section is a part of the page that changes: an element's id, the name of an
// event, and what writes it.
type section struct {
	name  string
	write func(*markupWriter, *Status)
}

var sections = [...]section{
	{"summary", writeSummary}, {"traffic", writeTraffic}, {"identities", writeIdentities},
	{"named", writeNamed}, {"mints", writeMints}, {"requests", writeRequests},
}

func writePage(w *markupWriter, s *Status) {
	w.put(`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="robots" content="noindex">
<title>monite-proxy: {}</title>
<link rel="icon" href="/page.svg">
<link rel="stylesheet" href="/page.css">
<script src="/page.js" defer></script>
</head>
<body>
`, s.Environment)
	writeHeader(w, s)
	w.put(`<main>
<div class="title">
<h1>monite-proxy <small>{}</small></h1>
<form method="post" action="/tokens/refresh"><button>Refresh tokens now</button></form>
<button type="button" id="pause" hidden>Pause</button>
</div>
<noscript><p class="hint">Without script this page shows the moment at which it was loaded: reload it for another.</p></noscript>

<div id="summary">`, s.Version)
	writeSummary(w, s)
	w.put(`</div>

<section aria-labelledby="h-identities"><h2 id="h-identities">Identities</h2>
<div id="identities">`)
	writeIdentities(w, s)
	w.put(`</div></section>

<section id="named">`)
	writeNamed(w, s)
	w.put(`</section>

<section aria-labelledby="h-traffic"><h2 id="h-traffic">Last five minutes</h2>
<div id="traffic">`)
	writeTraffic(w, s)
	w.put(`</div></section>

<section aria-labelledby="h-requests"><h2 id="h-requests">Last requests <small>newest first, at most 200</small></h2>
<div class="scroll" id="requests" tabindex="0">`)
	writeRequests(w, s)
	w.put(`</div></section>

<section aria-labelledby="h-mints"><h2 id="h-mints">Mints <small>newest first, at most 50</small></h2>
<div class="scroll" id="mints" tabindex="0">`)
	writeMints(w, s)
	w.put(`</div></section>

`)
	writeConfig(w, s)
	w.put(`</main>
<footer>{} · commit {} · {} · <a href="/status">status as JSON</a> · <a href="/metrics">metrics</a> · <a href="/readyz?verbose">readiness</a></footer>
</body>
</html>
`, s.Version, s.Commit, s.Go)
}

func writeHeader(w *markupWriter, s *Status) {
	class, title := s.Environment, "Custom upstream"
	switch {
	case s.Production:
		class, title = "production", "Production ("+s.Environment+")"
	case s.Environment == "sandbox":
		title = "Sandbox"
	}
	w.put(`<header class="environment {}">
<strong>{}</strong>
<span class="upstream">{}</span>
<span class="live" id="live"></span>
</header>
`, class, title, s.Upstream)
}

func writeConfig(w *markupWriter, s *Status) {
	w.put(`<section aria-labelledby="h-config"><h2 id="h-config">Configuration <small>redacted</small></h2>
<details><summary>{} variables, and where their values come from</summary>
<div class="scroll" tabindex="0"><table class="config">
<thead><tr><th>variable</th><th>value</th><th>source</th></tr></thead>
<tbody>`, len(s.Config))
	for _, one := range s.Config {
		value := markup(`<span class="none">none</span>`)
		if one.Value != "" {
			value = when(true, `<code>{}</code>`, one.Value)
		}
		w.put(`
<tr{}><th scope="row"><code>{}</code></th><td>{}</td><td>{}</td></tr>`,
			when(one.Source != "default", ` class="set"`), one.Name, value, one.Source)
	}
	w.put(`
</tbody></table></div></details></section>
`)
}

// goodOr are the classes of a check and the like.
func goodOr(bad bool) string {
	if bad {
		return "bad"
	}
	return "good"
}

func writeSummary(w *markupWriter, s *Status) {
	verdict := "Ready"
	if !s.Ready {
		verdict = "Not ready"
	}
	w.put(`
<div class="summary">
<p class="verdict {}">{}</p>
<dl>
<div><dt>up</dt><dd>{}</dd></div>
<div><dt>in flight</dt><dd>{}</dd></div>
<div><dt>identities</dt><dd>{}</dd></div>
<div><dt>time (UTC)</dt><dd>{}</dd></div>
</dl>
<ul class="checks">`, goodOr(!s.Ready), verdict, shortTime(s.Uptime), s.InFlight, s.IdentitiesTotal, clockTime(s.Now))
	for _, check := range s.Checks {
		w.put(`
<li class="{}">{}{}</li>`, goodOr(check.Problem != ""), check.Name, when(check.Problem != "", `: {}`, check.Problem))
	}
	w.put(`
</ul>
`)
	if s.Credentials != nil {
		writeCredentials(w, s.Credentials)
	}
	w.put(`
</div>
`)
}

func writeCredentials(w *markupWriter, c *CredentialsStatus) {
	w.put(`<p class="credentials{}">Credentials: {}{}. <small>live client <code title="hash of the client id">{}</code>{}{}</small></p>`,
		when(c.NewPair == "refused" || c.NewPair == "unproven", ` problem`), c.Summary,
		when(c.Reason != "", `: {}, {} tries{}`, c.Reason, c.Tries, when(c.RetryIn > 0, `, next in {}`, shortTime(c.RetryIn))), c.Live,
		when(c.New != "", `, new client <code title="hash of the client id">{}</code>`, c.New),
		when(c.Rotated != "", `, live since <time datetime="{}">{}</time>`, c.Rotated, c.Rotated))
}

func writeNamed(w *markupWriter, s *Status) {
	if s.Named == nil {
		return
	}
	w.put(`
<h2 id="h-named">Named identities <small>of the identities file</small></h2>
{}
<div class="scroll" tabindex="0">`,
		when(s.Named.Stale, `<p class="problem">The identities file was changed and cannot be used: these are of before. The log has every mistake.</p>`))
	if len(s.Named.All) == 0 {
		w.put(`<p class="none">The identities file names none.</p></div>
`)
		return
	}
	w.put(`<table class="named">
<thead><tr><th>name</th><th>grant</th><th>user</th><th>entity</th><th>reached by</th><th>may call</th><th class="n">requests</th></tr></thead>
<tbody>`)
	for _, one := range s.Named.All {
		w.put(`
<tr><th scope="row"><code>{}</code></th><td>{}</td><td>{}</td><td>{}</td><td>`, one.Name, one.GrantType, codeOf(one.UserHash), one.Entities)
		for _, way := range one.Ways {
			w.put(`<code class="way">{}</code> `, way)
		}
		w.put(`</td><td>{}{}{}</td><td class="n">{}</td></tr>`, one.Access,
			when(one.ReadOnly, ` <span class="tag">read only</span>`), when(one.AuditOnly, ` <span class="tag">on trial</span>`), one.Requests)
	}
	w.put(`
</tbody></table></div>
`)
}

func codeOf(text string) markup { return when(text != "", `<code>{}</code>`, text) }

func writeIdentities(w *markupWriter, s *Status) {
	w.put(`
<div class="cards">`)
	cards := shown(s.Identities)
	for i := range cards {
		writeCard(w, &cards[i])
	}
	w.put(`{}
</div>
{}
`, when(len(cards) == 0, `<p class="none">No identity has been used yet.</p>`),
		when(len(s.Identities) > len(cards), `<p class="none">{} of {}: the default, those with trouble, and those used last. <a href="/status">{} of them as JSON</a>.</p>`,
			len(cards), s.IdentitiesTotal, listedOrAll(s)))
}

func listedOrAll(s *Status) string {
	if s.IdentitiesTruncated {
		return strconv.Itoa(len(s.Identities))
	}
	return "All"
}

func writeCard(w *markupWriter, one *IdentityStatus) {
	kind := "entity user"
	if one.GrantType == "client_credentials" {
		kind = "partner"
	}
	w.put(`
<article class="card {}{}">
<h3>{}{}{}
<span class="state">{}</span></h3>
`, one.State, when(one.LastError != nil, ` failing`), kind,
		when(one.UserHash != "", ` <code title="hash of the entity user's id">{}</code>`, one.UserHash),
		when(one.Default, ` <span class="tag">default</span>`), one.State)
	if bar := tokenBar(one); bar != nil {
		w.put(`<svg class="bar" viewBox="0 0 1000 40" preserveAspectRatio="none" aria-hidden="true"><rect class="whole" width="1000" height="40"/><rect class="late" x="{}" width="1000" height="40"/><rect class="past" width="{}" height="40"/><rect class="mark" x="{}" width="4" height="40"/></svg>`,
			bar.Refresh, bar.Past, bar.Refresh)
	} else {
		w.put(`<div class="bar empty"></div>`)
	}
	w.put(`
<dl>
`)
	writeCardFigures(w, one)
	w.put(`
</dl>
`)
	if e := one.LastError; e != nil {
		next := markup(`Tried again when asked for.`)
		if e.RetryIn > 0 {
			next = when(true, `Next try in {} at the earliest.`, shortTime(e.RetryIn))
		}
		w.put(`<p class="problem">Last mint: {}{}. {}</p>`, e.Reason, when(e.Status != 0, ` (status {})`, e.Status), next)
	}
	w.put(`
</article>`)
}

func writeCardFigures(w *markupWriter, one *IdentityStatus) {
	if one.State != "missing" {
		refresh := "refresh in"
		if one.RefreshIn < 0 {
			refresh = "refresh due for"
		}
		w.put(`<div><dt>age</dt><dd>{}</dd></div>
<div><dt>{}</dt><dd>{}</dd></div>
<div><dt>ends in</dt><dd>{}</dd></div>`, shortTime(one.Age), refresh, shortTime(math.Abs(one.RefreshIn)), shortTime(one.Left))
	}
	w.put(`
<div><dt>mints</dt><dd>{}{}</dd></div>
`, one.Mints, when(one.Failures != 0, `, {} failed`, one.Failures))
	if m := one.LastMint; m != nil {
		w.put(`<div><dt>last mint</dt><dd><time datetime="{}">{}</time>, {}</dd></div>`, rfc3339(m.At), clockTime(m.At), shortTime(m.Duration))
	}
	w.put(`
<div><dt>last used</dt><dd>{} ago</dd></div>`, shortTime(one.Idle))
}

func writeTraffic(w *markupWriter, s *Status) {
	t := &s.Traffic
	p50, p95 := "-", "-"
	if t.Requests > 0 {
		p50, p95 = shortTime(t.P50), shortTime(t.P95)
	}
	w.put(`
<div class="traffic">
<dl class="figures">
<div><dt>requests per second</dt><dd>{}</dd></div>
<div{}><dt>errors <small>(5xx, cut off)</small></dt><dd>{}</dd></div>
<div><dt>p50</dt><dd>{}</dd></div>
<div><dt>p95</dt><dd>{}</dd></div>
<div><dt>requests</dt><dd>{}</dd></div>
</dl>
<svg class="chart" viewBox="0 0 600 100" preserveAspectRatio="none" role="img" aria-label="requests in each five seconds"><rect class="ground" y="99" width="600" height="1"/>`,
		fmt.Sprintf("%.2f", t.PerSecond), when(t.ErrorRate > 0, ` class="bad"`), percent(t.ErrorRate), p50, p95, t.Requests)
	for _, bar := range bars(t) {
		w.put(`<rect class="ok" x="{}" y="{}" width="8" height="{}"/>{}`, bar.X, bar.Y, bar.Height,
			when(bar.ErrorHeight != 0, `<rect class="error" x="{}" y="{}" width="8" height="{}"/>`, bar.X, bar.ErrorY, bar.ErrorHeight))
	}
	w.put(`</svg>
</div>
`)
}

func writeMints(w *markupWriter, s *Status) {
	if len(s.Mints) == 0 {
		w.put(`
<p class="none">No mint yet.</p>
`)
		return
	}
	w.put(`
<table>
<thead><tr><th>time</th><th>grant</th><th>user</th><th>result</th><th class="n">took</th><th class="n">lives</th></tr></thead>
<tbody>`)
	for i := range s.Mints {
		m := &s.Mints[i]
		w.put(`
<tr{}><td><time datetime="{}">{}</time></td><td>{}</td><td>{}</td><td>{}{}</td><td class="n">{}</td><td class="n">{}</td></tr>`,
			when(m.Result != "ok", ` class="error"`), rfc3339(m.At), clockTime(m.At), m.GrantType, codeOf(m.UserHash),
			m.Result, when(m.Status != 0, ` {}`, m.Status), shortTime(m.Duration), when(m.ExpiresIn != 0, `{}`, shortTime(m.ExpiresIn)))
	}
	w.put(`
</tbody></table>
`)
}

func writeRequests(w *markupWriter, s *Status) {
	if len(s.Requests) == 0 {
		w.put(`
<p class="none">No request yet.</p>
`)
		return
	}
	w.put(`
<table>
<thead><tr><th>time</th><th>method</th><th>route</th><th>status</th><th>origin</th><th class="n">upstream</th><th class="n">token wait</th><th>notes</th><th>request id</th></tr></thead>
<tbody>`)
	for i := range s.Requests {
		writeRequest(w, &s.Requests[i])
	}
	w.put(`
</tbody></table>
`)
}

func writeRequest(w *markupWriter, r *RequestStatus) {
	class := ""
	switch {
	case r.Status >= 500 || r.Aborted:
		class = "error"
	case r.Status >= 400:
		class = "refused"
	}
	w.put(`
<tr class="{}"><td><time datetime="{}">{}</time></td><td>{}</td><td><code>{}</code></td><td class="status">{}</td><td>{}</td><td class="n">{}</td><td class="n">{}</td><td>`,
		class, rfc3339(r.At), clockTime(r.At), r.Method, r.Route, r.Status, r.Origin,
		when(r.Upstream != 0, `{}`, milliseconds(r.Upstream)), when(r.GrantType != "", `{}`, milliseconds(r.TokenWait)))
	w.put(`{}{}{}{}{}</td><td class="id"><code>{}</code></td></tr>`,
		when(r.ErrorType != "", `<code>{}</code> `, r.ErrorType),
		when(r.Outcome != "", `<span class="tag {}">{}</span> `, r.Outcome, r.Outcome),
		when(r.Replay != "", `<span class="tag">replayed: {}</span> `, r.Replay),
		when(r.Retried, `<span class="tag">retried</span> `), when(r.Aborted, `<span class="tag">cut off</span>`), r.RequestID)
}
