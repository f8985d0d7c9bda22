package logs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/rs/zerolog"

	"github.com/monite-proxy/monite-proxy/config"
)

// Audit takes the audit lines to the log, or to MONITE_AUDIT_LOG. They do not depend
// on the level of the log.
type Audit struct {
	Log zerolog.Logger

	file  *auditFile // nil: the log has the lines
	lines *Writer    // of file
}

// OpenAudit opens the audit file, if there is to be one. lines is the log's writer;
// logger is told when audit lines are lost.
func OpenAudit(cfg *config.Config, lines *Writer, logger zerolog.Logger) (*Audit, error) {
	a := &Audit{}
	var out io.Writer = lines
	if cfg.AuditLog != "" {
		file, err := openAuditFile(cfg.AuditLog, cfg.FollowedFiles()...)
		if err != nil {
			// The path is a value: only the reason is reported.
			if pathErr, ok := errors.AsType[*fs.PathError](err); ok {
				err = pathErr.Err
			}
			return nil, fmt.Errorf("MONITE_AUDIT_LOG: want the path of a file that can be appended to (%w)", err)
		}
		a.file, a.lines = file, Start(file, func(err error) {
			if err != nil {
				logger.Error().Err(err).Msg("audit lines are lost: the audit file cannot be written to")
				return
			}
			logger.Info().Msg("the audit file can be written to again")
		})
		out = a.lines
	} else if cfg.LogFormat == "console" {
		out = console(lines)
	}
	a.Log = zerolog.New(out).With().Timestamp().Logger()
	return a, nil
}

// Reopen follows a rotation of the file. If it fails, the old file stays in use.
func (a *Audit) Reopen() error {
	if a.file == nil {
		return nil
	}
	return a.file.reopen()
}

// Dropped is the number of lines that the file could not take.
func (a *Audit) Dropped() int64 {
	if a.lines == nil {
		return 0
	}
	return a.lines.Dropped()
}

// Close writes the pending lines and closes the file.
func (a *Audit) Close() {
	if a.lines != nil {
		a.lines.Close()
		a.file.close()
	}
}
