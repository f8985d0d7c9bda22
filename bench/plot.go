//go:build linux

package main

import (
	"fmt"
	"strings"
)

// plot draws the figures that people ask for first, as bars.
func (b *bench) plot() string {
	shown := []string{figCPU}
	for _, rate := range b.plan.Rates {
		shown = append(shown, figAt("added p50 µs", rate), figAt("added p99 µs", rate))
	}
	shown = append(shown, figClients, figStart)
	const (
		bar, gap, title = 16, 4, 34
		left, width     = 140, 460
	)
	height := len(shown)*(title+len(b.contenders)*(bar+gap)) + 20
	var svg strings.Builder
	fmt.Fprintf(&svg, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" font-family="sans-serif" font-size="12">`+"\n", left+width+80, height)
	fmt.Fprintf(&svg, `<rect width="100%%" height="100%%" fill="white"/>`+"\n")
	y := 0
	for _, figure := range shown {
		y += title
		fmt.Fprintf(&svg, `<text x="10" y="%d" font-weight="bold">%s</text>`+"\n", y-10, figure)
		most := 1.0
		for _, c := range b.contenders {
			value, _, _ := b.median(c.name, figure)
			most = max(most, value)
		}
		for _, c := range b.contenders {
			value, ok, _ := b.median(c.name, figure)
			if !ok {
				continue
			}
			colour := "#9aa5b1"
			if strings.HasPrefix(c.name, "monite-proxy") {
				colour = "#2f6fde"
			}
			length := max(1, int(value/most*width))
			fmt.Fprintf(&svg, `<text x="%d" y="%d" text-anchor="end">%s</text><rect x="%d" y="%d" width="%d" height="%d" fill="%s"/><text x="%d" y="%d">%s</text>`+"\n",
				left-6, y+bar-4, c.name, left, y, length, bar, colour, left+length+5, y+bar-4, number(value))
			y += bar + gap
		}
	}
	fmt.Fprintln(&svg, "</svg>")
	return svg.String()
}
