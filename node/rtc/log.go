package rtc

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/pion/logging"
)

// bridge gives pion's loggers slog. Only warnings and errors pass: pion logs
// per packet below that.
type bridge struct{ log *slog.Logger }

func (b bridge) NewLogger(scope string) logging.LeveledLogger {
	return scoped{b.log.With("scope", scope)}
}

type scoped struct{ log *slog.Logger }

func (s scoped) Trace(string)          {}
func (s scoped) Tracef(string, ...any) {}
func (s scoped) Debug(string)          {}
func (s scoped) Debugf(string, ...any) {}
func (s scoped) Info(string)           {}
func (s scoped) Infof(string, ...any)  {}

// A client can provoke pion's warnings and errors at will, so none of them is an error
// of this node: both are told at debug level, with pion's own level beside the text.

func (s scoped) Warn(m string)             { s.put("warn", m) }
func (s scoped) Warnf(f string, a ...any)  { s.putf("warn", f, a) }
func (s scoped) Error(m string)            { s.put("error", m) }
func (s scoped) Errorf(f string, a ...any) { s.putf("error", f, a) }
func (s scoped) put(level, m string)       { s.log.Debug("pion "+level, "msg", m) }
func (s scoped) putf(l, f string, a []any) {
	if s.log.Enabled(context.Background(), slog.LevelDebug) {
		s.put(l, fmt.Sprintf(f, a...))
	}
}
