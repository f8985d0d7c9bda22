package config

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/monite-proxy/monite-proxy/config/secret"
	"github.com/monite-proxy/monite-proxy/internal/ids"
)

// Setting is one variable as it is in effect.
type Setting struct {
	Name   string `json:"name"`
	Value  string `json:"value"`  // empty: off or none
	Source string `json:"source"` // "default", "environment", "file /path"
}

// settings lists the effective values.
func settings(parsed *spec, environment map[string]string, cfg *Config) []Setting {
	fields := reflect.ValueOf(parsed).Elem()
	special := cfg.special()
	all := make([]Setting, 0, len(variables))
	for _, v := range variables {
		s := Setting{Name: v.name, Source: "default"}
		if environment[v.name] != "" {
			s.Source = "environment"
		}
		if show, ok := special[v.name]; ok {
			s.Value = show
		} else if cfg.Traces == nil && strings.HasPrefix(v.name, otelPrefix) && fields.Field(v.field).Kind() == reflect.String {
			s.Value = "" // not judged, and so not shown
		} else if v.name == otlpEndpoint {
			s.Value = originOf(parsed.OTLPEndpoint)
		} else {
			s.Value = showValue(fields.Field(v.field).Interface())
		}
		if path := environment[v.name+"_FILE"]; path != "" && known(v.name+"_FILE") {
			s.Value, s.Source = "[redacted]", "file "+path
		}
		all = append(all, s)
	}
	return all
}

func showValue(value any) string {
	switch v := value.(type) {
	case secret.String:
		return v.String()
	case time.Duration:
		return shortDuration(v)
	case number:
		return strconv.FormatInt(int64(v), 10)
	default:
		return fmt.Sprint(v)
	}
}

// special are the variables whose effective value is not the text that was
// given. Ids are shortened: enough to tell two apart, and a secret that was
// pasted into the wrong variable (Monite's secrets are UUIDs) stays one.
func (c *Config) special() map[string]string {
	vend := ""
	if c.Vend != (Listen{}) {
		vend = c.Vend.String()
	}
	endpoint, attributes := c.Traces.shown()
	redis := ""
	if c.Redis != nil {
		redis = c.Redis.String()
	}
	return map[string]string{
		otlpTracesEndpoint:               endpoint,
		"OTEL_RESOURCE_ATTRIBUTES":       attributes,
		"MONITE_VEND_ADDR":               vend,
		redisURL:                         redis,
		"MONITE_ENVIRONMENT":             c.Environment,
		"MONITE_GRANT_TYPE":              c.GrantType,
		"MONITE_API_URL":                 c.Upstream.String(),
		"MONITE_ENTITY_USER_ID":          ids.Short(c.EntityUserID),
		"MONITE_ENTITY_ID":               ids.Short(c.EntityID),
		"MONITE_ALLOWED_ENTITY_IDS":      c.AllowedEntityIDs.short(),
		"MONITE_ALLOWED_ENTITY_USER_IDS": c.AllowedEntityUserIDs.short(),
		"MONITE_LISTEN_ADDR":             c.Listen.String(),
		"MONITE_ADMIN_ADDR":              c.Admin.String(),
		"MONITE_ALLOWED_HOSTS":           strings.Join(c.AllowedHosts, ","),
	}
}

// short names at most five ids.
func (l AllowList) short() string {
	if l.any {
		return "*"
	}
	var shown []string
	for i, id := range l.IDs() {
		if i == 5 {
			shown = append(shown, fmt.Sprintf("and %d more", len(l.ids)-i))
			break
		}
		shown = append(shown, ids.Short(id))
	}
	return strings.Join(shown, ",")
}

// shortDuration writes 5m and not 5m0s.
func shortDuration(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// ActsAs says the identity of a request that does not name one, to follow the word
// "acts". Ids are shortened.
func (c *Config) ActsAs() string {
	who := "as the partner"
	if c.GrantType == "entity_user" {
		who = "as the entity user " + ids.Short(c.EntityUserID)
	}
	if c.EntityID == "" {
		return who + ", and names no entity"
	}
	return who + ", for the entity " + ids.Short(c.EntityID)
}
