package config

import (
	"errors"

	"github.com/monite-proxy/monite-proxy/config/secret"
)

// source is a secret from a variable or from a file that is followed.
type source struct {
	fixed secret.String
	file  *secret.File // nil: fixed
}

func (s source) current() secret.String {
	if s.file != nil {
		return s.file.Current()
	}
	return s.fixed
}

// variable is the one that a secret came from, of name and its _FILE twin.
func (s source) variable(name string) string {
	if s.file != nil {
		return name + "_FILE"
	}
	return name
}

// Credentials are the client id and secret. Where they come from files, each
// call gives the values of now.
type Credentials struct{ id, secret source }

// ID returns the client id. Use Pair where both are needed.
func (c Credentials) ID() secret.String { return c.id.current() }

// Secret returns the client secret. Use Pair where both are needed.
func (c Credentials) Secret() secret.String { return c.secret.current() }

// Pair returns an id and a secret that belong together: when a Watcher reloads
// both files, it is both old or both new.
func (c Credentials) Pair() (id, clientSecret secret.String) {
	if c.id.file != nil && c.secret.file != nil {
		return secret.Together(c.id.file, c.secret.file)
	}
	return c.id.current(), c.secret.current()
}

// buildSource reads a secret from its variable or its _FILE twin. Neither:
// the zero source.
func buildSource(name string, value secret.String, path string, wrong *mistakes) source {
	twin := name + "_FILE"
	switch {
	case !value.IsZero() && path != "":
		wrong.add(twin, "only one of "+name+" and "+twin+" to be set")
	case !value.IsZero():
		if err := secret.Check(value); err != nil {
			wrong.refuse(name, err.Error())
		}
	case path != "":
		file, err := secret.OpenFile(path)
		if err == nil {
			return source{file: file}
		}
		// The path is a value too: only the reason is reported.
		why := ""
		if fileErr, ok := errors.AsType[*secret.FileError](err); ok {
			why = fileErr.Err.Error()
		}
		wrong.refuse(twin, why)
	}
	return source{fixed: value}
}

// buildRequired is buildSource for what cannot be left out.
func buildRequired(name string, value secret.String, path string, wrong *mistakes) source {
	if value.IsZero() && path == "" {
		wrong.refuse(name, "or the path of a file in "+name+"_FILE; neither is set")
	}
	return buildSource(name, value, path, wrong)
}

// checkStorePassword refuses the client secret as the password of the shared store: its
// server would get it. A person who may set variables, but may not read the secret's
// file, could name that file, and a server of their own.
func checkStorePassword(cfg *Config, wrong *mistakes) {
	if cfg.Redis == nil {
		return
	}
	name := cfg.Redis.password.variable(redisPassword)
	if !wrong.isSet(name) {
		name = redisURL
	}
	if value := cfg.Redis.password.current(); !value.IsZero() && value.Equal(cfg.Credentials.Secret()) {
		wrong.add(name, "another value than that of MONITE_CLIENT_SECRET, which only Monite may see")
	}
}
