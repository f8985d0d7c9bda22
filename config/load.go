package config

import (
	"errors"
	"os"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/kelseyhightower/envconfig"
)

const prefix = "MONITE_"

// secretVariables are taken out of the environment once they have been read, so
// that no child process and no dump of os.Environ has them. The kernel's own
// copy, /proc/self/environ, cannot be changed; files have no such copy.
var secretVariables = []string{"MONITE_CLIENT_SECRET", "MONITE_CLIENT_ID", "MONITE_APP_TOKEN", "MONITE_VEND_APP_TOKEN", "MONITE_REDIS_URL", "MONITE_REDIS_PASSWORD",
	"OTEL_EXPORTER_OTLP_HEADERS", "OTEL_EXPORTER_OTLP_TRACES_HEADERS"}

// Load reads the process environment. The error is an *Error with all
// mistakes.
//
// It changes the environment: the secrets are taken out, and so are variables
// of ours that are empty or cannot be parsed. Call it once, before anything
// else runs.
func Load() (*Config, error) {
	defer func() {
		for _, name := range secretVariables {
			_ = os.Unsetenv(name)
		}
	}()
	var warnings []string
	environment := ownVariables()
	wrong := mistakes{values: environment}
	checkNames(environment, &wrong, &warnings)

	parsed := parse(environment, &wrong)
	checkRanges(parsed, &wrong)
	cfg := build(parsed, &wrong)
	if err := wrong.err(); err != nil {
		return nil, err
	}
	cfg.Warnings = append(warnings, cfg.dangers()...)
	cfg.settings = settings(parsed, environment, cfg)
	return cfg, nil
}

// ownVariables returns what has our prefix, in any case, or is one of the OTEL_*
// variables that we know, and is not empty.
// Empty is unset: compose's ${X:-} and optional references of Kubernetes make
// empty variables.
func ownVariables() map[string]string {
	own := map[string]string{}
	for _, pair := range os.Environ() {
		name, value, _ := strings.Cut(pair, "=")
		ours := len(name) >= len(prefix) && strings.EqualFold(name[:len(prefix)], prefix) || known(name)
		if !ours || value == "" {
			continue
		}
		if slices.Contains(secretVariables, name) {
			value = "set" // the text is for envconfig and secret.String alone
		}
		own[name] = value
	}
	return own
}

// parse fills a spec. envconfig stops at the first value that it cannot parse
// and quotes it: the name is noted, the variable unset, and the next round
// finds the next one.
func parse(environment map[string]string, wrong *mistakes) *spec {
	// envconfig takes an empty variable as a value: an error for a number, and
	// the default is not used.
	for _, v := range variables {
		if environment[v.name] == "" {
			_ = os.Unsetenv(v.name)
		}
	}
	for range len(variables) + 1 {
		var parsed spec
		err := envconfig.Process("", &parsed)
		if err == nil {
			return &parsed
		}
		parseErr, ok := errors.AsType[*envconfig.ParseError](err)
		if !ok {
			break
		}
		wrong.refuse(parseErr.KeyName, "")
		_ = os.Unsetenv(parseErr.KeyName)
	}
	panic("config: a default of the specification cannot be parsed") // a test holds this
}

// checkRanges puts the default in place of what is out of range, so that only
// one mistake is reported.
func checkRanges(parsed *spec, wrong *mistakes) {
	fields := reflect.ValueOf(parsed).Elem()
	for _, v := range variables {
		if v.min == "" {
			continue
		}
		field, limit := fields.Field(v.field), whole
		if field.Type() == reflect.TypeFor[time.Duration]() {
			limit = func(text string) int64 { return int64(duration(text)) }
		}
		if field.Int() < limit(v.min) || field.Int() > limit(v.max) {
			wrong.refuse(v.name, "")
			field.SetInt(limit(v.fallback))
		}
	}
}
