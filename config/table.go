package config

import (
	"strings"
	"text/tabwriter"
)

// Table returns the variables as a Markdown table, for the README.
func Table() string {
	var out strings.Builder
	out.WriteString("| variable | default | meaning | accepted |\n| --- | --- | --- | --- |\n")
	for _, v := range variables {
		fallback := v.otherwise
		if v.fallback != "" {
			fallback = "`" + v.fallback + "`"
		}
		cells := []string{"`" + v.name + "`", fallback, v.desc, v.accepts}
		for i, cell := range cells {
			cells[i] = strings.NewReplacer("|", `\|`, "*", `\*`).Replace(cell)
		}
		out.WriteString("| " + strings.Join(cells, " | ") + " |\n")
	}
	return out.String()
}

// Usage returns the variables as aligned plain text, for the help command.
func Usage() string {
	var out strings.Builder
	w := tabwriter.NewWriter(&out, 0, 0, 2, ' ', 0)
	line := func(cells ...string) { _, _ = w.Write([]byte(strings.Join(cells, "\t") + "\n")) }
	line("VARIABLE", "DEFAULT", "MEANING")
	for _, v := range variables {
		fallback, desc := v.fallback, v.desc
		switch {
		case len(v.otherwise) > len("client_credentials"):
			fallback, desc = "-", desc+" (default: "+v.otherwise+")"
		case fallback == "" && v.otherwise == "":
			fallback = "-"
		case fallback == "":
			fallback = v.otherwise
		}
		line(v.name, fallback, desc)
		line("", "", "  accepts "+v.accepts)
	}
	_ = w.Flush()
	return out.String()
}
