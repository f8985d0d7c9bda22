// Package e2e starts the built binary and looks at it from outside, as an app,
// an operator and an attacker would. It imports nothing of the proxy; upstream
// is the simulator, or a script of the test's own.
package e2e
