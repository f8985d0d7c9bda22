package admin

// CredentialsStatus tells which pair of client id and secret is live. Ids are
// hashed as users are.
type CredentialsStatus struct {
	Summary string `json:"summary"`
	Live    string `json:"live_client_hash"`
	// Rotated is the time at which the live pair replaced another; empty if it is the
	// first.
	Rotated string `json:"rotated_at,omitempty"`
	// NewPair is none, proving, refused or unproven; what follows is of the new pair.
	NewPair string  `json:"new_pair"`
	New     string  `json:"new_client_hash,omitempty"`
	Tries   int     `json:"failed_proofs,omitempty"`
	Reason  string  `json:"reason,omitempty"`
	RetryIn float64 `json:"retry_in_seconds,omitempty"`
}

// ObserveRotation counts one proof of changed credentials: ok, refused or failed.
func (m *Metrics) ObserveRotation(result string) { m.rotations.WithLabelValues(result).Inc() }
