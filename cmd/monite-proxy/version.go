package main

import (
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
)

// Set by the linker: -X main.version=1.2.3 -X main.commit=abc.
var version, commit string

// build returns what was stamped, else what the Go tool recorded.
func build() (buildVersion, buildCommit, goVersion string) {
	buildVersion, buildCommit = version, commit
	if info, ok := debug.ReadBuildInfo(); ok {
		if buildVersion == "" && info.Main.Version != "" {
			buildVersion = info.Main.Version
		}
		for _, setting := range info.Settings {
			if setting.Key == "vcs.revision" && buildCommit == "" {
				buildCommit = setting.Value
			}
		}
	}
	if buildVersion == "" {
		buildVersion = "(devel)"
	}
	if buildCommit == "" {
		buildCommit = "unknown"
	}
	return buildVersion, buildCommit, runtime.Version()
}

func printVersion(stdout io.Writer) int {
	version, commit, goVersion := build()
	_, _ = fmt.Fprintf(stdout, "monite-proxy %s\ncommit %s\n%s %s/%s\n", version, commit, goVersion, runtime.GOOS, runtime.GOARCH)
	return exitOK
}
