// Package config turns the environment into a Config that is already right: code that
// holds one need not validate anything, and never reads a variable.
//
// The walk of Load:
//
//	spec.go      the variables: name, default, meaning, accepted values (tags)
//	load.go      environment -> spec, by envconfig, one round per mistake
//	unknown.go   names with our prefix that we do not know: typos and strangers
//	validate.go  spec -> Config (config.go), one concern per file:
//	             upstream.go, hosts.go, listen.go, ids.go,
//	             credentials.go, certificates.go, redis.go, traces.go
//	places.go    where files and sockets will be made, for the check command
//	identities.go  MONITE_IDENTITIES_FILE; identities_parse.go reads its tree,
//	             identities_check.go judges each identity, both with lines
//	redact.go    the effective values, for the check command
//
// All mistakes are reported at once (mistakes.go): one line for each, with the
// variable's name, what it accepts, and what is wrong with the value (fault.go). No
// value is ever part of a message, because people paste secrets into the wrong
// variable.
//
// table.go writes the documentation of the variables from the same tags.
package config
