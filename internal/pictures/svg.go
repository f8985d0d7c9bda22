package main

import (
	"cmp"
	"fmt"
	"html"
	"regexp"
	"slices"
	"strings"
	"time"
)

const (
	prompt     = "\x1b[2m$\x1b[0m "
	lineHeight = 18
	charWidth  = 8 // of a monospaced font of 13 px, with some room
	margin     = 14
	shortest   = 70 * time.Millisecond // between two rows
	longest    = 2 * time.Second       // a build is not worth watching
)

// row is a line of a terminal, with escape sequences for colours.
type row struct {
	at   time.Duration
	text string
}

// pane is a terminal of some height, which scrolls.
type pane struct {
	title  string
	rows   []row
	height int
}

// still is a terminal that shows everything at once.
func still(rows []row) pane {
	rows = wrapped(rows)
	for i := range rows {
		rows[i].at = 0
	}
	return pane{"", rows, len(rows)}
}

// pace keeps the order of the rows of all panes, but neither rushes nor waits long.
func pace(panes ...pane) {
	var all []*row
	for _, p := range panes {
		for i := range p.rows {
			all = append(all, &p.rows[i])
		}
	}
	slices.SortStableFunc(all, func(a, b *row) int { return cmp.Compare(a.at, b.at) })
	real, shown := time.Duration(0), time.Duration(0)
	for _, r := range all {
		shown += min(max(r.at-real, shortest), longest)
		real, r.at = r.at, shown
	}
}

const style = `<style>
svg{--ground:#fff;--ink:#24292f;--dim:#6e7781;--edge:#d0d7de;--red:#cf222e;--green:#1a7f37;--yellow:#9a6700;--blue:#0969da;--cyan:#1b7c83}
@media(prefers-color-scheme:dark){svg{--ground:#0d1117;--ink:#e6edf3;--dim:#8b949e;--edge:#30363d;--red:#ff7b72;--green:#56d364;--yellow:#e3b341;--blue:#79c0ff;--cyan:#56d4dd}}
text{font:13px ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace;fill:var(--ink);white-space:pre}
.ground{fill:var(--ground);stroke:var(--edge)}.title,.c2,.c90{fill:var(--dim)}.c1{font-weight:bold}
.c31{fill:var(--red)}.c32{fill:var(--green)}.c33{fill:var(--yellow)}.c34{fill:var(--blue)}.c36{fill:var(--cyan)}
@keyframes wait{from,to{visibility:hidden}}
@media(prefers-reduced-motion:reduce){*{animation:none!important}}
`

// terminals draws panes one above the other. Without animation it shows the end:
// each row is hidden until its time, and each pane scrolls to where it belongs.
func terminals(panes ...pane) string {
	var rules, body strings.Builder
	const width = columns*charWidth + 2*margin
	top := 0
	for n, p := range panes {
		height := p.height*lineHeight + 2*margin
		if p.title != "" {
			height += lineHeight
		}
		fmt.Fprintf(&body, `<rect class="ground" x="1" y="%d" width="%d" height="%d" rx="6"/>`+"\n", top+1, width-2, height-2)
		inner := top + margin
		if p.title != "" {
			fmt.Fprintf(&body, `<text class="title" x="%d" y="%d">%s</text>`+"\n", margin, inner+12, p.title)
			inner += lineHeight
		}
		fmt.Fprintf(&body, `<svg y="%d" width="%d" height="%d"><g class="pane%d">`+"\n", inner, width, p.height*lineHeight, n)
		for i := range p.rows {
			r, wait := p.rows[i], ""
			if r.at > 0 {
				wait = fmt.Sprintf(` style="animation:wait %.2fs"`, r.at.Seconds())
			}
			fmt.Fprintf(&body, `<text x="%d" y="%d"%s>%s</text>`+"\n", margin, i*lineHeight+13, wait, coloured(r.text))
		}
		body.WriteString("</g></svg>\n")
		rules.WriteString(scrolling(n, p))
		top += height + margin/2
	}
	return fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d">`+"\n", width, top, width, top) +
		style + rules.String() + "</style>\n" + body.String() + "</svg>\n"
}

// scrolling moves a pane up by a line for each row beyond its height.
func scrolling(n int, p pane) string {
	over := len(p.rows) - p.height
	if over <= 0 {
		return ""
	}
	whole := p.rows[len(p.rows)-1].at
	var frames strings.Builder
	frames.WriteString("0%{transform:none}")
	for i := p.height; i < len(p.rows); i++ {
		fmt.Fprintf(&frames, "%.3f%%{transform:translateY(-%dpx)}", 100*p.rows[i].at.Seconds()/whole.Seconds(), (i-p.height+1)*lineHeight)
	}
	return fmt.Sprintf(".pane%d{transform:translateY(-%dpx);animation:scroll%d %.2fs step-end}\n@keyframes scroll%d{%s}\n",
		n, over*lineHeight, n, whole.Seconds(), n, frames.String())
}

var escape = regexp.MustCompile("\x1b\\[([0-9;]*)m")

// wrapped breaks lines as a terminal does. It does not count escape sequences.
func wrapped(rows []row) []row {
	var all []row
	for _, r := range rows {
		for {
			cut, count := len(r.text), 0
			sequences := escape.FindAllStringIndex(r.text, -1)
			for i := range r.text {
				for len(sequences) > 0 && i >= sequences[0][1] {
					sequences = sequences[1:]
				}
				if len(sequences) > 0 && i >= sequences[0][0] {
					continue
				}
				if count++; count > columns {
					cut = i
					break
				}
			}
			all = append(all, row{r.at, r.text[:cut]})
			if r.text = r.text[cut:]; r.text == "" {
				break
			}
		}
	}
	return all
}

// coloured turns escape sequences for colours into spans.
func coloured(text string) string {
	var out strings.Builder
	open := false
	for text != "" {
		at := escape.FindStringSubmatchIndex(text)
		if at == nil {
			at = []int{len(text), len(text), len(text), len(text)}
		}
		out.WriteString(html.EscapeString(text[:at[0]]))
		codes := text[at[2]:at[3]]
		if open {
			out.WriteString("</tspan>")
			open = false
		}
		if codes != "" && codes != "0" {
			out.WriteString(`<tspan class="c` + strings.ReplaceAll(codes, ";", " c") + `">`)
			open = true
		}
		text = text[at[1]:]
	}
	if open {
		out.WriteString("</tspan>")
	}
	return out.String()
}
