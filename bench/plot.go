package main

import (
	"fmt"
	"html"
	"slices"
	"strings"
)

// The plot's measures, in pixels.
const (
	plotLabel = 240 // left of the bars
	plotBar   = 440 // of what pgbench reaches
	barHeight = 10
	barGap    = 12 // between operations
)

var colours = map[string]string{akin: "#0969da", postgraphile: "#bf8700", mercurius: "#1a7f37", apollo: "#8250df"}

// plot returns an SVG: for each operation, how much of pgbench's rate Akin and each kind of peer reaches, the better of one
// and two workers, at 16 connections or else the first number measured.
func (r *result) plot() string {
	all := r.connections()
	connections := all[0]
	if slices.Contains(all, 16) {
		connections = 16
	}
	best := map[string]map[string]float64{} // by operation and flavour
	var order []string
	for _, row := range r.rows(connections) {
		if best[row.operation] == nil {
			best[row.operation] = map[string]float64{}
			order = append(order, row.operation)
		}
		flavour, _, _ := strings.Cut(row.server, "-")
		best[row.operation][flavour] = max(best[row.operation][flavour], row.ofLimit)
	}
	flavours := []string{akin, mercurius, apollo, postgraphile}

	var b strings.Builder
	y := 48
	text := func(x, y int, anchor, s string) {
		fmt.Fprintf(&b, `<text x="%d" y="%d" text-anchor="%s">%s</text>`+"\n", x, y, anchor, html.EscapeString(s))
	}
	text(8, 18, "start", fmt.Sprintf("Requests per second as a share of pgbench's with the same statements, %d connections", connections))
	for i, flavour := range flavours {
		x := plotLabel + 110*i
		fmt.Fprintf(&b, `<rect x="%d" y="27" width="10" height="10" fill="%s"/>`+"\n", x, colours[flavour])
		text(x+14, 36, "start", flavour)
	}
	for _, operation := range order {
		text(plotLabel-8, y+2*barHeight+3, "end", operation)
		for _, flavour := range flavours {
			share := best[operation][flavour]
			width := int(min(share, 1.2) * plotBar)
			fmt.Fprintf(&b, `<rect x="%d" y="%d" width="%d" height="%d" fill="%s"/>`+"\n", plotLabel, y, width, barHeight-1, colours[flavour])
			text(plotLabel+width+4, y+barHeight-2, "start", fmt.Sprintf("%.2f", share))
			y += barHeight
		}
		y += barGap
	}
	fmt.Fprintf(&b, `<line x1="%[1]d" y1="44" x2="%[1]d" y2="%[2]d" stroke="#888"/>`+"\n", plotLabel, y)
	return fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" font-family="sans-serif" font-size="11">`+"\n"+
		`<rect width="100%%" height="100%%" fill="#fff"/>`+"\n%s</svg>\n", plotLabel+plotBar+120, y+8, b.String())
}
