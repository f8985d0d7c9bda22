package config

import (
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
)

// topics are the groups of the variables, in their order.
func topics() []string {
	var all []string
	for _, v := range variables {
		if !slices.Contains(all, v.topic) {
			all = append(all, v.topic)
		}
	}
	return all
}

func ofTopic(topic string) (group []variable) {
	for _, v := range variables {
		if v.topic == topic {
			group = append(group, v)
		}
	}
	return group
}

// Table returns the variables as Markdown, a heading and a table for each topic.
func Table() string {
	var out strings.Builder
	for i, topic := range topics() {
		if i > 0 {
			out.WriteString("\n")
		}
		fmt.Fprintf(&out, "## %s\n\n| variable | default | meaning | accepted |\n| --- | --- | --- | --- |\n", strings.ToUpper(topic[:1])+topic[1:])
		for _, v := range ofTopic(topic) {
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
	}
	return out.String()
}

// width is that of a terminal.
const width = 80

// Usage returns the names of all variables by topic, for the help command.
func Usage() string {
	var out strings.Builder
	for _, topic := range topics() {
		line := fmt.Sprintf("  %-12s", topic)
		for _, name := range folded(ofTopic(topic)) {
			if len(line)+1+len(name) > width {
				out.WriteString(strings.TrimRight(line, " ") + "\n")
				line = strings.Repeat(" ", 14)
			}
			line += " " + name
		}
		out.WriteString(line + "\n")
	}
	return out.String()
}

// folded writes NAME and NAME_FILE as NAME[_FILE], and likewise the variables of
// traces that have one for traces alone.
func folded(group []variable) (names []string) {
	for _, v := range group {
		names = append(names, v.name)
	}
	for _, name := range slices.Clone(names) {
		alone := strings.Replace(name, "OTLP_", "OTLP_TRACES_", 1)
		switch at := slices.Index(names, name); {
		case slices.Contains(names, name+"_FILE"):
			names[at] = name + "[_FILE]"
			names = slices.DeleteFunc(names, func(other string) bool { return other == name+"_FILE" })
		case alone != name && slices.Contains(names, alone):
			names[at] = strings.Replace(name, "OTLP_", "OTLP_[TRACES_]", 1)
			names = slices.DeleteFunc(names, func(other string) bool { return other == alone })
		}
	}
	return names
}

// Explain tells of one variable, which may be written without its prefix, or of
// all of a topic. ok is false if it is neither; the text then says what is near.
func Explain(word string) (text string, ok bool) {
	if group := ofTopic(strings.ToLower(word)); len(group) > 0 {
		return explain(group), true
	}
	upper := strings.ToUpper(word)
	for _, name := range []string{upper, prefix + upper} {
		if i := position(name); i < len(variables) {
			return explain(variables[i : i+1]), true
		}
	}
	near := nearest(upper)
	if near == "" {
		near = nearest(prefix + upper)
	}
	text = "there is no variable and no topic of this name"
	if near != "" {
		text += ": did you mean " + near + "?"
	}
	return text + "\n", false
}

func explain(group []variable) string {
	var out strings.Builder
	w := tabwriter.NewWriter(&out, 0, 0, 2, ' ', 0)
	for i, v := range group {
		if i > 0 {
			_, _ = fmt.Fprintln(w)
		}
		fallback := v.fallback
		if fallback == "" {
			fallback = v.otherwise
		}
		if fallback == "" {
			fallback = "none"
		}
		_, _ = fmt.Fprintf(w, "%s\n  meaning\t%s\n  default\t%s\n  accepts\t%s\n", v.name, v.desc, fallback, v.accepts)
	}
	_ = w.Flush()
	return out.String()
}
