package main

import (
	"bytes"
	"io"
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
		// Colours are left out: a terminal escape in a log is nobody's friend.
		out = zerolog.ConsoleWriter{Out: stderr, NoColor: true, TimeFormat: "15:04:05.000"}
	}
	return zerolog.New(out).Level(level).With().Timestamp().Logger(), nil
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
