package config

import (
	"cmp"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/monite-proxy/monite-proxy/config/secret"
)

// Error holds everything that is wrong with the environment.
type Error struct {
	Mistakes []Mistake // in the order of the table of variables, then by name
}

// Mistake is one variable that cannot be used. It never holds the value.
type Mistake struct {
	Variable string
	Line     int    // of the file that the variable names; 0: of the variable itself
	Accepts  string // what is wanted instead
}

// Error gives one line for each mistake.
func (e *Error) Error() string {
	lines := make([]string, len(e.Mistakes))
	for i, m := range e.Mistakes {
		lines[i] = m.String()
	}
	return strings.Join(lines, "\n")
}

func (m Mistake) String() string {
	where := printable(m.Variable)
	if m.Line > 0 {
		where += " line " + strconv.Itoa(m.Line)
	}
	return where + ": want " + m.Accepts
}

// mistakes collects. Only the first of each variable counts: what follows is
// usually a consequence.
type mistakes struct {
	found []Mistake
	// values are the variables that are set. Of a secret it is only known that it is.
	values map[string]string
}

// isSet reports whether the environment has the variable.
func (m *mistakes) isSet(name string) bool { return m.values[name] != "" }

func (m *mistakes) has(name string) bool {
	return slices.ContainsFunc(m.found, func(f Mistake) bool { return f.Variable == name })
}

// add notes that the variable wants something else than what it accepts in
// general.
func (m *mistakes) add(name, accepts string) {
	if !m.has(name) {
		m.found = append(m.found, Mistake{Variable: name, Accepts: accepts})
	}
}

// refuse notes that the variable does not hold what it accepts. why is a fixed
// text; if it is empty, the value is asked.
func (m *mistakes) refuse(name, why string) {
	v := named(name)
	accepts := v.accepts
	if why == "" && v.kind != reflect.TypeFor[secret.String]() {
		why = faultOf(v, m.values[name])
	}
	if why != "" {
		accepts += " (" + why + ")"
	}
	m.add(name, accepts)
}

// err returns the mistakes in the order of the table, or nil.
func (m *mistakes) err() error {
	if len(m.found) == 0 {
		return nil
	}
	slices.SortStableFunc(m.found, func(a, b Mistake) int {
		if by := position(a.Variable) - position(b.Variable); by != 0 {
			return by
		}
		return cmp.Or(strings.Compare(a.Variable, b.Variable), a.Line-b.Line)
	})
	return &Error{Mistakes: m.found}
}

// position returns the variable's place in the table; unknown ones come last.
func position(name string) int {
	for i, v := range variables {
		if v.name == name {
			return i
		}
	}
	return len(variables)
}
