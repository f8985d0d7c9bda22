package admin

// NamedStatus tells of the identities file.
type NamedStatus struct {
	// Stale: the file was changed and cannot be used; what follows is of before.
	Stale bool            `json:"stale"`
	All   []NamedIdentity `json:"all"` // in the order of the file
}

// NamedIdentity is one identity of the file. Its user and entities are hashed.
type NamedIdentity struct {
	Name      string `json:"name"`
	GrantType string `json:"grant_type"`
	UserHash  string `json:"entity_user_hash,omitempty"`
	// Entities is a hash, or says in words what the app may name.
	Entities string   `json:"entities"`
	Ways     []string `json:"ways"` // to reach it: a listener, a path prefix, a header
	Rules    int      `json:"rules"`
	// Access says in words what the rules come to: everything, or how many allow
	// and deny.
	Access    string `json:"access"`
	ReadOnly  bool   `json:"read_only,omitempty"`
	AuditOnly bool   `json:"audit_only,omitempty"`
	// Requests that reached it since the start of the process, those that its
	// rules refused included.
	Requests int64 `json:"requests"`
}

// withCounts returns a copy that has the numbers of requests.
func (n *NamedStatus) withCounts(history *History) *NamedStatus {
	if n == nil {
		return nil
	}
	counts := history.requestsAs()
	counted := &NamedStatus{Stale: n.Stale, All: append([]NamedIdentity{}, n.All...)}
	for i := range counted.All {
		counted.All[i].Requests = counts[counted.All[i].Name]
	}
	return counted
}
