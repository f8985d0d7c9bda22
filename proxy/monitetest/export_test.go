package monitetest

import "github.com/monite-proxy/monite-proxy/proxy/monitetest/schema"

// Operations lists the published operations as "METHOD template".
func Operations() []string {
	var all []string
	for _, op := range schema.Published().Operations {
		all = append(all, op.Method+" "+op.Template)
	}
	return all
}
