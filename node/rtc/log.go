package rtc

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"github.com/pion/logging"

	"maille/node/guard"
)

// bridge gives pion's loggers slog. Only warnings and errors pass: pion logs
// per packet below that. What pion throws away it tells here and nowhere else, so this
// is also where that is counted.
type bridge struct {
	log     *slog.Logger
	refused *guard.Counts
}

func (b bridge) NewLogger(scope string) logging.LeveledLogger {
	return scoped{log: b.log.With("scope", scope), refused: b.refused, scope: scope}
}

type scoped struct {
	log     *slog.Logger
	refused *guard.Counts
	scope   string
}

// Scopes whose loggers are counted. The first two are pion's names.
const (
	scopeICE  = "ice"
	scopeSRTP = "srtp"
	scopeMux  = "mux"
)

// muxRefusals are what the UDP mux says of STUN that names nobody here.
var muxRefusals = []string{"Failed to handle decode ICE from %s: %v", "No Username attribute in STUN message from %s"}

func (s scoped) Trace(string)          {}
func (s scoped) Debug(string)          {}
func (s scoped) Debugf(string, ...any) {}
func (s scoped) Infof(string, ...any)  {}

// Tracef hears of what comes to the media port from an unknown address and is no check
// of anybody here.
func (s scoped) Tracef(f string, _ ...any) {
	if s.scope == scopeMux && strings.HasPrefix(f, "Dropping packet") {
		s.refused.Add(guard.Address)
	}
}

// Info hears of every packet that SRTP does not take: forged, damaged or replayed.
func (s scoped) Info(string) {
	if s.scope == scopeSRTP {
		s.refused.Add(guard.Packet)
	}
}

// A client can provoke pion's warnings and errors at will, so none of them is an error
// of this node: both are told at debug level, with pion's own level beside the text.

func (s scoped) Warn(m string) { s.put("warn", m) }

func (s scoped) Warnf(f string, a ...any) {
	// ICE discards checks without the session's password, and all else that comes from
	// where none came with it.
	if s.scope == scopeICE && strings.HasPrefix(f, "Discard") || s.scope == scopeMux && slices.Contains(muxRefusals, f) {
		s.refused.Add(guard.Address)
	}
	s.putf("warn", f, a)
}
func (s scoped) Error(m string)            { s.put("error", m) }
func (s scoped) Errorf(f string, a ...any) { s.putf("error", f, a) }
func (s scoped) put(level, m string)       { s.log.Debug("pion "+level, "msg", m) }
func (s scoped) putf(l, f string, a []any) {
	if s.log.Enabled(context.Background(), slog.LevelDebug) {
		s.put(l, fmt.Sprintf(f, a...))
	}
}
