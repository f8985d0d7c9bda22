// Package named keeps the named identities of the identities file, and the
// listeners that some of them have, in step with the file while the sidecar runs.
//
//   - keeper.go: the Keeper and its life: Listen, Serve, then Stop, Shutdown, CutOff
//   - reload.go: Follow and Reload: a changed file is taken over whole or not at
//     all. First what can fail, then the policy, then the listeners
//   - generation.go: a listener that stays for another identity, or with another
//     mode: its old connections end, and never act as the new identity
//   - policy.go: what the configuration and the file allow, for the proxy
//   - status.go, print.go: the identities for /status and for the check command
//
// A removed listener stops at once and frees its address; its requests have until
// the end of the drain.
package named
