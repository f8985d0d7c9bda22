package logs

import (
	"bytes"
	"io"
	"log"

	"github.com/rs/zerolog"

	"github.com/monite-proxy/monite-proxy/config"
)

// New makes the logger: JSON lines to out, or text for people.
func New(cfg *config.Config, out io.Writer) (zerolog.Logger, error) {
	level, err := zerolog.ParseLevel(cfg.LogLevel)
	if err != nil {
		return zerolog.Nop(), err
	}
	zerolog.TimeFieldFormat = "2006-01-02T15:04:05.000Z07:00"
	if cfg.LogFormat == "console" {
		out = console(out)
	}
	return zerolog.New(out).Level(level).With().Timestamp().Logger(), nil
}

// console writes no colours: terminal escapes do not belong in a log.
func console(out io.Writer) io.Writer {
	return zerolog.ConsoleWriter{Out: out, NoColor: true, TimeFormat: "15:04:05.000"}
}

// ForServer takes the lines that net/http writes about connections. Their cause is
// in the network: debug is their level, except for those of Accept.
func ForServer(logger zerolog.Logger) *log.Logger {
	return log.New(lineWriter{logger}, "", 0)
}

type lineWriter struct{ logger zerolog.Logger }

func (w lineWriter) Write(line []byte) (int, error) {
	level := zerolog.DebugLevel
	if bytes.HasPrefix(line, []byte("http: Accept error")) {
		level = zerolog.WarnLevel // out of descriptors, usually: apps cannot connect
	}
	w.logger.WithLevel(level).Str("detail", string(bytes.TrimSpace(line))).Msg("http server")
	return len(line), nil
}
