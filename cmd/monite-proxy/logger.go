package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log"

	"github.com/rs/zerolog"

	"github.com/monite-proxy/monite-proxy/config"
)

// newLogger writes JSON lines, or text for people, to stderr.
func newLogger(cfg *config.Config, stderr io.Writer) (zerolog.Logger, error) {
	level, err := zerolog.ParseLevel(cfg.LogLevel)
	if err != nil {
		return zerolog.Nop(), err
	}
	zerolog.TimeFieldFormat = "2006-01-02T15:04:05.000Z07:00"
	out := stderr
	if cfg.LogFormat == "console" {
		out = console(stderr)
	}
	return zerolog.New(out).Level(level).With().Timestamp().Logger(), nil
}

// console leaves colours out: a terminal escape in a log is nobody's friend.
func console(out io.Writer) io.Writer {
	return zerolog.ConsoleWriter{Out: out, NoColor: true, TimeFormat: "15:04:05.000"}
}

// newAudit opens what the audit lines go to. They do not depend on the level of
// the log.
func newAudit(cfg *config.Config, lines *logWriter, logger zerolog.Logger) (*audit, error) {
	a := &audit{}
	var out io.Writer = lines
	if cfg.AuditLog != "" {
		file, err := openAuditFile(cfg.AuditLog)
		if err != nil {
			// The path is a value: only the reason is reported.
			if pathErr, ok := errors.AsType[*fs.PathError](err); ok {
				err = pathErr.Err
			}
			return nil, fmt.Errorf("MONITE_AUDIT_LOG: want the path of a file that can be appended to (%w)", err)
		}
		a.file, a.lines = file, startLog(file, func(err error) {
			if err != nil {
				logger.Error().Err(err).Msg("audit lines are lost: the audit file cannot be written")
				return
			}
			logger.Info().Msg("the audit file can be written again")
		})
		out = a.lines
	} else if cfg.LogFormat == "console" {
		out = console(lines)
	}
	a.log = zerolog.New(out).With().Timestamp().Logger()
	return a, nil
}

// audit is where the audit lines go.
type audit struct {
	log   zerolog.Logger
	file  *auditFile // nil: the log has them
	lines *logWriter // of file
}

// dropped is the number of lines that the file could not take.
func (a *audit) dropped() int64 {
	if a.lines == nil {
		return 0
	}
	return a.lines.dropped.Load()
}

func (a *audit) close() {
	if a.lines != nil {
		a.lines.close()
		a.file.close()
	}
}

// serverLog takes the lines that net/http writes about connections. They come
// from the network: debug is their level, save for those of Accept.
func serverLog(logger zerolog.Logger) *log.Logger {
	return log.New(lineWriter{logger}, "", 0)
}

type lineWriter struct{ logger zerolog.Logger }

func (w lineWriter) Write(line []byte) (int, error) {
	level := zerolog.DebugLevel
	if bytes.HasPrefix(line, []byte("http: Accept error")) {
		level = zerolog.WarnLevel // out of descriptors, mostly: apps cannot connect
	}
	w.logger.WithLevel(level).Str("detail", string(bytes.TrimSpace(line))).Msg("http server")
	return len(line), nil
}
