package monitetest

// Operations lists the published operations as "METHOD template".
func Operations() []string {
	var all []string
	for _, op := range operations {
		all = append(all, op.Method+" "+op.Template)
	}
	return all
}
