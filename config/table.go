package config

import (
	"fmt"
	"slices"
	"strings"
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
		if topic == "traces" { // known from elsewhere, and a third of all
			_, _ = fmt.Fprintf(&out, "  %-12s the standard OTEL_* variables: see 'monite-proxy help traces'\n", topic)
			continue
		}
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

// folded writes NAME and NAME_FILE as NAME[_FILE].
func folded(group []variable) (names []string) {
	for _, v := range group {
		names = append(names, v.name)
	}
	for _, name := range slices.Clone(names) {
		if slices.Contains(names, name+"_FILE") {
			names[slices.Index(names, name)] = name + "[_FILE]"
			names = slices.DeleteFunc(names, func(other string) bool { return other == name+"_FILE" })
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
	for i, v := range group {
		if i > 0 {
			out.WriteString("\n")
		}
		fallback := v.fallback
		if fallback == "" {
			fallback = v.otherwise
		}
		if fallback == "" {
			fallback = "none"
		}
		out.WriteString(v.name + "\n" + wrapped("meaning", v.desc) + wrapped("default", fallback) + wrapped("accepts", v.accepts))
	}
	return out.String()
}

// wrapped is a text behind its label, in lines that fit a terminal.
func wrapped(label, text string) string {
	var out strings.Builder
	line := "  " + label + " "
	for word := range strings.FieldsSeq(text) {
		if len(line)+1+len(word) > width {
			out.WriteString(line + "\n")
			line = strings.Repeat(" ", len("  "+label)+1)
		}
		line += " " + word
	}
	return out.String() + line + "\n"
}
