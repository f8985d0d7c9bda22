package schema

import (
	"net/url"
	"strconv"
)

// JudgeQuery reads the published query parameters of an operation into values
// of their types, and returns what is wrong with them. A parameter that is not
// published is ignored, as FastAPI ignores it.
func (op *Operation) JudgeQuery(query url.Values) (Doc, []Problem) {
	values := Doc{}
	var problems []Problem
	for i := range op.Query {
		p := &op.Query[i]
		sent := query[p.Name]
		if len(sent) == 0 {
			if p.Required {
				problems = append(problems, Missing("query", p.Name))
			}
			continue
		}
		s := p.Schema.notNull()
		var value any
		if s.Type == "array" {
			items := make([]any, len(sent))
			for i, text := range sent {
				items[i] = s.Items.notNull().read(text)
			}
			value = items
		} else {
			value = s.read(sent[len(sent)-1])
		}
		if wrong := s.Judge(value, "query", p.Name); len(wrong) > 0 {
			problems = append(problems, wrong...)
			continue
		}
		values[p.Name] = value
	}
	return values, problems
}

// notNull returns the alternative that is not null.
func (s *Schema) notNull() *Schema {
	for _, alternative := range s.AnyOf {
		if alternative.Type != "null" {
			return alternative.notNull()
		}
	}
	return s
}

// read makes a value of a parameter's text. Text that does not fit stays text,
// and is then judged.
func (s *Schema) read(text string) any {
	switch {
	case s.Type == "integer":
		if number, err := strconv.Atoi(text); err == nil {
			return number
		}
	case s.Type == "number":
		if number, err := strconv.ParseFloat(text, 64); err == nil {
			return number
		}
	case s.Type == "boolean":
		switch text {
		case "true", "True", "1", "on", "yes":
			return true
		case "false", "False", "0", "off", "no":
			return false
		}
	case s.Format == "date-time" && isDate(text):
		return text + "T00:00:00+00:00"
	}
	return text
}
