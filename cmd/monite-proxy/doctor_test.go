package main

import (
	"io"
	"strings"
	"testing"
)

func TestDoctorListsEveryMistakeOfTheConfiguration(t *testing.T) {
	t.Setenv("MONITE_CLIENT_ID", "")
	t.Setenv("MONITE_CLIENT_SECRET", "x")
	t.Setenv("MONITE_ENTITY_ID", "not-an-id")
	var out strings.Builder
	if code := examine(nil, &out, io.Discard); code != exitFailure {
		t.Errorf("exit code %d", code)
	}
	for _, want := range []string{"MONITE_CLIENT_ID", "MONITE_ENTITY_ID", "2 problems found"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the report lacks %q:\n%s", want, out.String())
		}
	}
	if strings.Contains(out.String(), "not-an-id") {
		t.Error("the report quotes a value")
	}
}
