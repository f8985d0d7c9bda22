package proxy

import (
	"encoding/json"
	"errors"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/monite-proxy/monite-proxy/proxy/identity"
)

// fullRecord has something to say in every field.
func fullRecord(t *testing.T) Record {
	record := Record{}
	fields := reflect.ValueOf(&record).Elem()
	for i := range fields.NumField() {
		switch field := fields.Field(i); field.Interface().(type) {
		case string, Outcome:
			field.SetString("x")
		case bool:
			field.SetBool(true)
		case int, int64, time.Duration:
			field.SetInt(1)
		case time.Time:
			field.Set(reflect.ValueOf(time.Now()))
		default:
			// A Record is kept in the history: it must not hold on to anything.
			if name := fields.Type().Field(i).Name; name != "Err" {
				t.Errorf("Record.%s is a %s: not plain", name, field.Type())
			}
		}
	}
	record.Err = errors.New("x")
	return record
}

// A field of the table that says nothing when there is something to say is a field
// that somebody searches in vain.
func TestLineHasTheFieldsOfTheTable(t *testing.T) {
	var log, audit strings.Builder
	c := &call{
		Context: t.Context(), record: fullRecord(t), in: httptest.NewRequest("POST", "/v1/x", nil),
		identity: identity.Identity{Grant: asUserB, EntityID: entityB},
		log:      &accessLog{log: zerolog.New(&log).With().Timestamp().Logger(), auditLog: zerolog.New(&audit).With().Timestamp().Logger(), listener: "here"},
	}
	c.tell()
	for line, text := range map[string]string{"request": log.String(), "audit": audit.String()} {
		var got map[string]any
		if err := json.Unmarshal([]byte(text), &got); err != nil || got["message"] != line {
			t.Fatalf("%s: %v %q", line, err, text)
		}
		for _, field := range LogFields {
			if field.In != line && field.In != "both" || field.Name == "peer_uid" { // that is known of a unix socket alone
				continue
			}
			if _, written := got[field.Name]; !written {
				t.Errorf("%s: no %s in %s", line, field.Name, text)
			}
			delete(got, field.Name)
		}
		for name := range got {
			t.Errorf("%s: %s is not in the table", line, name)
		}
	}
}
