package config

import (
	"regexp"
	"sync"
)

// pattern is compiled when it is asked for: few starts ask for any, and all
// pathPrefix's repetitions come to 200 KiB.
func pattern(expression string) func() *regexp.Regexp {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(expression) })
}
