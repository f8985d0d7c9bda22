// Package client is the other side of the admin listener: the commands status,
// health, wait, shutdown and doctor ask it of the running sidecar.
//
//   - client.go: the request; another program may listen there, so what comes back
//     is bounded and cannot control the terminal
//   - table.go: the JSON of /status as tables for people
package client
