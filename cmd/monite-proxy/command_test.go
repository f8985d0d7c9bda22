package main

import (
	"io"
	"strings"
	"testing"
)

func TestVersionAndHelpAreFoundByEveryUsualSpelling(t *testing.T) {
	for _, c := range []struct {
		args []string
		says string
	}{
		{[]string{"version"}, "monite-proxy "}, {[]string{"--version"}, "monite-proxy "}, {[]string{"-version"}, "monite-proxy "},
		{[]string{"-v"}, "monite-proxy "},
		{[]string{"help"}, "Usage: monite-proxy [command]"}, {[]string{"--help"}, "MONITE_CLIENT_ID"}, {[]string{"-h"}, "run "},
		{[]string{"help", "run"}, "no secrets\n"}, {[]string{"help", "MONITE_ENTITY_ID"}, "default"},
		{[]string{"help", "tokens"}, "MONITE_TOKEN_TIMEOUT"},
		{[]string{"check", "--help"}, "check      validate"}, {[]string{"serve", "-h"}, "serve      run"},
		{[]string{"shutdown", "-help"}, "shutdown   ask"}, {[]string{"version", "-h"}, "version    print"},
	} {
		var out strings.Builder
		if code := command(c.args, &out, io.Discard); code != exitOK || !strings.Contains(out.String(), c.says) {
			t.Errorf("%q: exit code %d, want 0 with %q:\n%s", c.args, code, c.says, out.String())
		}
	}
	var out strings.Builder
	if _ = command([]string{"help", "status"}, &out, io.Discard); strings.Count(out.String(), "\n") != 1 {
		t.Errorf("help of one command:\n%s", out.String())
	}
}
