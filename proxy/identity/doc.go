// Package identity decides on whose behalf a request is sent: from what the operator
// allows, from how the request arrived and from its header it makes exactly one
// Identity, or says with a Refusal why not. It is pure: nothing here reads a body,
// asks for a token or writes a response.
//
//	policy.go   what the operator allows, named identities, their path prefixes
//	handle.go   what stands for an identity in the place of a token
//	resolve.go  the decision for a request that is forwarded
//	grant.go    the decision for a request for a token
//	refusal.go  why not
package identity
