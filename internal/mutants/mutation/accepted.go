package main

import (
	_ "embed"
	"fmt"
	"strings"
)

//go:embed accepted.txt
var accepted string

// parseAccepted returns the reason of each change. Lines name changes, and the indented
// lines below say why these may live.
func parseAccepted(text string) (map[string]string, error) {
	reasons := map[string]string{}
	var names []string
	reason := ""
	end := func() error {
		for _, name := range names {
			if reason == "" || reasons[name] != "" {
				return fmt.Errorf("accepted.txt: no reason, or named twice: %s", name)
			}
			reasons[name] = reason
		}
		return nil
	}
	for line := range strings.Lines(text + "end\n") {
		text, indented := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "\t")
		switch {
		case text == "" || strings.HasPrefix(text, "#"):
		case indented:
			reason += text + " "
		default:
			if reason != "" || text == "end" {
				if err := end(); err != nil {
					return nil, err
				}
				names, reason = nil, ""
			}
			names = append(names, text)
		}
	}
	return reasons, nil
}
