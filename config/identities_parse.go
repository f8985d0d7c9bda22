package config

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	"go.yaml.in/yaml/v3"

	"github.com/monite-proxy/monite-proxy/internal/ids"
	"github.com/monite-proxy/monite-proxy/internal/routes"
)

// maxNamed bounds the identities of a file.
const maxNamed = 1000

// identityParser reads the tree of a file. It goes on after a mistake, so that
// all are reported at once; no mistake holds a value of the file.
type identityParser struct {
	cfg   *Config
	wrong *mistakes
	// Where values that must be unique were seen first, by line.
	names, users map[string]int
	entityOf     map[string]string // user -> entity, of the pairs so far
	prefixes     []placed
	listens      []placedListen
	warnings     []string
}

type placed struct {
	text string
	line int
}

type placedListen struct {
	listen Listen
	line   int
}

func (p *identityParser) add(line int, accepts string) {
	p.wrong.found = append(p.wrong.found, Mistake{"MONITE_IDENTITIES_FILE", max(line, 1), accepts})
}

func parseIdentities(text []byte, cfg *Config, wrong *mistakes) *Identities {
	p := &identityParser{cfg: cfg, wrong: wrong, names: map[string]int{}, users: map[string]int{}, entityOf: map[string]string{}}
	read := &Identities{sum: sha256.Sum256(text)}
	if user, entity, ok := cfg.defaultPair(); ok {
		p.entityOf[user] = entity
	}
	root := p.document(text)
	if root == nil {
		return read
	}
	fields := p.mapping(root, "a mapping with the one key identities", "identities")
	list := fields["identities"]
	switch {
	case fields == nil:
	case list == nil:
		p.add(root.Line, "a mapping with the one key identities")
	case list.Kind != yaml.SequenceNode:
		p.add(list.Line, "a list of identities, each item beginning with a dash; [] for none")
	case len(list.Content) > maxNamed:
		p.add(list.Line, "at most "+strconv.Itoa(maxNamed)+" identities")
	default:
		for _, item := range list.Content {
			if identity, ok := p.identity(item); ok {
				read.All = append(read.All, identity)
			}
		}
	}
	read.Warnings = p.warnings
	return read
}

var yamlLine = pattern(`line (\d+)`)

// document returns the root of the only document.
func (p *identityParser) document(text []byte) *yaml.Node {
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	var document, second yaml.Node
	err := decoder.Decode(&document)
	if errors.Is(err, io.EOF) || err == nil && document.Kind == 0 {
		p.add(1, "a mapping with the one key identities; the file is empty")
		return nil
	}
	if err == nil {
		if err = decoder.Decode(&second); errors.Is(err, io.EOF) {
			return document.Content[0]
		}
		if err == nil {
			p.add(second.Line, "one YAML document")
			return nil
		}
	}
	line := 1
	// The text of the error may quote the file; its line number does not.
	if found := yamlLine().FindStringSubmatch(err.Error()); found != nil {
		line, _ = strconv.Atoi(found[1])
	}
	p.add(line, "well-formed YAML around this line")
	return nil
}

// mapping returns the values by key, or nil if the node is not a mapping.
func (p *identityParser) mapping(node *yaml.Node, wanted string, keys ...string) map[string]*yaml.Node {
	if node.Kind != yaml.MappingNode {
		p.add(node.Line, wanted)
		return nil
	}
	fields := map[string]*yaml.Node{}
	for i := 0; i < len(node.Content); i += 2 {
		key, value := node.Content[i], node.Content[i+1]
		switch {
		case key.Kind != yaml.ScalarNode || !slices.Contains(keys, key.Value):
			p.add(key.Line, "another key"+suggestion(key.Value, keys)+unknownKey(key.Value))
		case fields[key.Value] != nil:
			p.add(key.Line, "the key "+key.Value+" once; it is in line "+strconv.Itoa(fields[key.Value].Line)+" already")
		default:
			fields[key.Value] = value
		}
	}
	return fields
}

// unknownKey names a key that we do not know, if it cannot be a secret: few
// letters, and no digit.
func unknownKey(text string) string {
	if text == "" || len(text) > 24 || strings.Trim(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_-") != "" {
		return ""
	}
	return " (" + text + " is not known)"
}

// suggestion is ": did you mean X?" for a near miss, else the list if it is short.
func suggestion(text string, known []string) string {
	best, distance := "", max(3, len(text)/4)
	if len(text) > 200 {
		return ""
	}
	for _, candidate := range known {
		// The names of parameters do not count.
		if d := editDistance(bare(text), bare(candidate)); d < distance {
			best, distance = candidate, d
		}
	}
	if best == "" {
		return ""
	}
	return ": did you mean " + best + "?"
}

var parameter = pattern(`\{[^}]*\}`)

func bare(template string) string {
	if !strings.Contains(template, "{") {
		return template
	}
	return parameter().ReplaceAllString(template, "{}")
}

// text reads a string. If there is none, it notes the mistake and ok is false. YAML
// reads a plain 2024-05-25 as a time; that is accepted, because people should not
// need quotes.
func (p *identityParser) text(node *yaml.Node, wanted string) (string, bool) {
	if node == nil {
		return "", false
	}
	if node.Kind != yaml.ScalarNode || node.ShortTag() != "!!str" && node.ShortTag() != "!!timestamp" {
		p.add(node.Line, wanted)
		return "", false
	}
	return node.Value, true
}

func (p *identityParser) flag(node *yaml.Node, fallback bool) bool {
	if node == nil {
		return fallback
	}
	if node.Kind != yaml.ScalarNode || node.ShortTag() != "!!bool" || node.Value != "true" && node.Value != "false" {
		p.add(node.Line, "true or false")
		return fallback
	}
	return node.Value == "true"
}

func (p *identityParser) id(node *yaml.Node) string {
	const wanted = "a UUID"
	text, ok := p.text(node, wanted)
	if !ok {
		return ""
	}
	id, ok := ids.Parse(text)
	if !ok {
		p.add(node.Line, wanted)
	}
	return id
}

// list returns the items of a list that must have some. nil: there is none.
func (p *identityParser) list(node *yaml.Node, wanted string) []*yaml.Node {
	if node == nil {
		return nil
	}
	if node.Kind != yaml.SequenceNode || len(node.Content) == 0 {
		p.add(node.Line, wanted)
		return nil
	}
	return node.Content
}

// rules reads an allow or deny list. A list with a mistake in it still is one.
func (p *identityParser) rules(node *yaml.Node) (texts []string, rules []routes.Rule) {
	for _, item := range p.list(node, `a list of rules such as "GET payables", with at least one`) {
		text, ok := p.text(item, `a rule such as "GET payables"`)
		if !ok {
			continue
		}
		rule, err := routes.ParseRule(text)
		switch {
		case errors.Is(err, routes.ErrTarget):
			_, target, _ := bytes.Cut([]byte(text), []byte(" "))
			p.add(item.Line, "a resource or path template that Monite publishes, * or other"+suggestion(string(target), routes.Targets()))
		case err != nil:
			p.add(item.Line, `a rule such as "GET payables", "* receivables" or "DELETE *": `+err.Error())
		default:
			texts, rules = append(texts, text), append(rules, rule)
		}
	}
	return texts, rules
}

// pattern is compiled when it is asked for: few starts ask for any, and all
// pathPrefix's repetitions come to 200 KiB.
func pattern(expression string) func() *regexp.Regexp {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(expression) })
}
