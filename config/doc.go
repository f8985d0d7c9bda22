// Package config turns the environment into a Config that is already right:
// whoever holds one need not validate anything, and never reads a variable.
//
// The walk of Load:
//
//	spec.go      the variables: name, default, meaning, accepted values (tags)
//	load.go      environment -> spec, by envconfig, one round per mistake
//	unknown.go   names with our prefix that we do not know: typos and strangers
//	validate.go  spec -> Config (config.go), one concern per file:
//	             upstream.go, egress.go, hosts.go, listen.go, socket.go, ids.go,
//	             credentials.go, certificates.go, auditlog.go, traces.go
//	identities.go  MONITE_IDENTITIES_FILE; identities_parse.go reads its tree,
//	             identities_check.go judges each identity, both with lines;
//	             pattern.go compiles an expression when it is first needed
//	redact.go    the effective values, for the check command
//
// All mistakes are reported at once (mistakes.go): one line for each, with the
// variable's name and what it accepts. No value is ever part of a message,
// because people paste secrets into the wrong variable.
//
// table.go writes the documentation of the variables from the same tags.
package config
