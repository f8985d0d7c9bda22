package schema

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"regexp"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"
)

// Doc is a JSON object.
type Doc = map[string]any

// Problem is one entry of the "detail" that FastAPI sends with 422. Loc says
// where: "body", then names and indexes.
type Problem struct {
	Loc  []any  `json:"loc"`
	Msg  string `json:"msg"`
	Type string `json:"type"`
}

// Missing returns the problem of a field that is not there.
func Missing(loc ...any) Problem {
	return Problem{loc, "field required", "value_error.missing"}
}

// List returns the objects of a JSON array, decoded or made here.
func List(value any) []Doc {
	switch value := value.(type) {
	case []Doc:
		return value
	case []any:
		var docs []Doc
		for _, one := range value {
			if d, ok := one.(Doc); ok {
				docs = append(docs, d)
			}
		}
		return docs
	}
	return nil
}

// Decode reads one JSON value. Whole numbers become int, others float64.
func Decode(text []byte) (any, error) {
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	var value any
	if err := dec.Decode(&value); err != nil {
		return nil, err
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, errors.New("extra data")
	}
	return plain(value), nil
}

// Normal returns a document as Decode would have read it: other numbers than
// int and float64, and whole float64, become what they are here.
func Normal(d Doc) Doc {
	text, err := json.Marshal(d)
	if err != nil {
		panic("schema: not JSON: " + err.Error())
	}
	value, _ := Decode(text)
	normal, _ := value.(Doc)
	return normal
}

func plain(value any) any {
	switch value := value.(type) {
	case json.Number:
		if whole, err := value.Int64(); err == nil {
			return int(whole)
		}
		if number, err := value.Float64(); err == nil {
			return number
		}
		return value // 1e999: no schema of a number allows it
	case Doc:
		for name, member := range value {
			value[name] = plain(member)
		}
	case []any:
		for i, item := range value {
			value[i] = plain(item)
		}
	}
	return value
}

// Judge returns what is wrong with a decoded value, and nothing for a value
// that the document allows.
func (s *Schema) Judge(value any, loc ...any) []Problem {
	if len(s.AnyOf) > 0 {
		return s.judgeAlternatives(value, loc)
	}
	if value == nil && s.Type != "" && s.Type != "null" {
		return problem(loc, "none is not an allowed value", "type_error.none.not_allowed")
	}
	switch s.Type {
	case "object":
		return s.judgeObject(value, loc)
	case "array":
		return s.judgeArray(value, loc)
	case "string":
		text, ok := value.(string)
		if !ok {
			return problem(loc, "str type expected", "type_error.str")
		}
		return s.judgeString(text, loc)
	case "integer", "number":
		return s.judgeNumber(value, loc)
	case "boolean":
		if _, ok := value.(bool); !ok {
			return problem(loc, "value could not be parsed to a boolean", "type_error.bool")
		}
	case "null":
		if value != nil {
			return problem(loc, "value is not none", "type_error.not_none")
		}
	}
	return nil
}

func problem(loc []any, msg, kind string) []Problem {
	return []Problem{{append([]any{}, loc...), msg, kind}}
}

func under(loc []any, step any) []any { return append(slices.Clip(loc), step) }

// judgeAlternatives reports on the alternative that was probably meant: the
// one with the right type and the right fixed values, then the one with the
// fewest problems.
func (s *Schema) judgeAlternatives(value any, loc []any) (best []Problem) {
	least := math.MaxInt
	for _, alternative := range s.AnyOf {
		problems := alternative.Judge(value, loc...)
		if len(problems) == 0 {
			return nil
		}
		cost := len(problems)
		for _, p := range problems {
			switch {
			case len(p.Loc) == len(loc) && strings.HasPrefix(p.Type, "type_error") && p.Type != "type_error.enum":
				cost += 1000
			case p.Type == "value_error.const" && len(p.Loc) == len(loc)+1:
				cost += 100
			}
		}
		if cost < least {
			least, best = cost, problems
		}
	}
	return best
}

func (s *Schema) judgeObject(value any, loc []any) (problems []Problem) {
	fields, ok := value.(Doc)
	if !ok {
		return problem(loc, "value is not a valid dict", "type_error.dict")
	}
	known := 0
	for i := range s.Properties {
		p := &s.Properties[i]
		field, is := fields[p.Name]
		switch {
		case is:
			known++
			problems = append(problems, p.Schema.Judge(field, under(loc, p.Name)...)...)
		case p.Required:
			problems = append(problems, Missing(under(loc, p.Name)...))
		}
	}
	if known == len(fields) || !s.Closed && s.Values == nil {
		return problems
	}
	for _, name := range sortedNames(fields) {
		switch {
		case s.Property(name) != nil:
		case s.Values != nil:
			problems = append(problems, s.Values.Judge(fields[name], under(loc, name)...)...)
		default:
			problems = append(problems, problem(under(loc, name), "extra fields not permitted", "value_error.extra")...)
		}
	}
	return problems
}

func (s *Schema) judgeArray(value any, loc []any) (problems []Problem) {
	items, ok := value.([]any)
	if !ok {
		return problem(loc, "value is not a valid list", "type_error.list")
	}
	if len(items) < s.MinItems {
		problems = append(problems, problem(loc, fmt.Sprintf("ensure this value has at least %d items", s.MinItems), "value_error.list.min_items")...)
	}
	if s.MaxItems != nil && len(items) > *s.MaxItems {
		problems = append(problems, problem(loc, fmt.Sprintf("ensure this value has at most %d items", *s.MaxItems), "value_error.list.max_items")...)
	}
	seen := map[string]bool{}
	for i, item := range items {
		if s.Items != nil {
			problems = append(problems, s.Items.Judge(item, under(loc, i)...)...)
		}
		if s.Unique {
			text, _ := json.Marshal(item)
			if seen[string(text)] {
				problems = append(problems, problem(loc, "the list has duplicated items", "value_error.list.unique_items")...)
			}
			seen[string(text)] = true
		}
	}
	return problems
}

func (s *Schema) judgeString(text string, loc []any) []Problem {
	if len(s.Enum) > 0 {
		return s.judgeEnum(text, loc)
	}
	length := utf8.RuneCountInString(text)
	switch {
	case length < s.MinLength:
		return problem(loc, fmt.Sprintf("ensure this value has at least %d characters", s.MinLength), "value_error.any_str.min_length")
	case s.MaxLength != nil && length > *s.MaxLength:
		return problem(loc, fmt.Sprintf("ensure this value has at most %d characters", *s.MaxLength), "value_error.any_str.max_length")
	case s.Pattern != "" && !pattern(s.Pattern).MatchString(text):
		return problem(loc, fmt.Sprintf("string does not match regex %q", s.Pattern), "value_error.str.regex")
	}
	if check, ok := formats[s.Format]; ok && !check.valid(text) {
		return problem(loc, check.msg, check.kind)
	}
	return nil
}

func (s *Schema) judgeEnum(text string, loc []any) []Problem {
	if slices.Contains(s.Enum, text) {
		return nil
	}
	permitted := "'" + strings.Join(s.Enum, "', '") + "'"
	if len(s.Enum) == 1 {
		return problem(loc, "unexpected value; permitted: "+permitted, "value_error.const")
	}
	return problem(loc, "value is not a valid enumeration member; permitted: "+permitted, "type_error.enum")
}

func (s *Schema) judgeNumber(value any, loc []any) []Problem {
	var number float64
	switch value := value.(type) {
	case int:
		number = float64(value)
	case float64:
		number = value
	default:
		number = math.NaN()
	}
	if s.Type == "integer" && math.Abs(number) > math.MaxInt64 || math.IsInf(number, 0) {
		number = math.NaN() // it would not be the number that was sent
	}
	if math.IsNaN(number) || s.Type == "integer" && number != math.Trunc(number) {
		if s.Type == "integer" {
			return problem(loc, "value is not a valid integer", "type_error.integer")
		}
		return problem(loc, "value is not a valid float", "type_error.float")
	}
	switch {
	case s.Minimum != nil && number < *s.Minimum:
		return problem(loc, fmt.Sprintf("ensure this value is greater than or equal to %v", *s.Minimum), "value_error.number.not_ge")
	case s.Maximum != nil && number > *s.Maximum:
		return problem(loc, fmt.Sprintf("ensure this value is less than or equal to %v", *s.Maximum), "value_error.number.not_le")
	case s.ExclusiveMin != nil && number <= *s.ExclusiveMin:
		return problem(loc, fmt.Sprintf("ensure this value is greater than %v", *s.ExclusiveMin), "value_error.number.not_gt")
	}
	return nil
}

var patterns sync.Map // of *regexp.Regexp by their text

func pattern(text string) *regexp.Regexp {
	if known, ok := patterns.Load(text); ok {
		return known.(*regexp.Regexp)
	}
	made := regexp.MustCompile(text)
	patterns.Store(text, made)
	return made
}
