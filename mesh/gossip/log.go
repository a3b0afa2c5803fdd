package gossip

import (
	"bytes"
	"context"
	"log"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"

	"golang.org/x/time/rate"
)

// Lines of memberlist let through per second and at once: a stranger who sends
// garbage makes it write one a packet.
const (
	logRate  = 5
	logBurst = 20
)

// routine lines come with every node that dies and every lossy path, many times over:
// that a node is gone is told once, by this package.
var routine = []string{
	"Suspect ", "Marking ", "Refuting ", "Failed fallback TCP ping", "Failed to send", "Failed to receive", "failed to receive",
	"Failed to read remote state", "Failed to push local state", "Push/Pull with", "Got ping for unexpected node",
}

// warnings are for an operator to act on: wrong keys, names, addresses or firewalls.
// What else memberlist calls errors is a peer's trouble, not this node's.
var warnings = []string{
	"Decrypt packet failed", "discarding packet", "discarding stream", "Binding to public address", "Rejected ",
	"Conflicting address", "Was able to connect", "Remote node state size", "handler queue full",
}

func begins(text string, list []string) bool {
	return slices.ContainsFunc(list, func(prefix string) bool { return strings.HasPrefix(text, prefix) })
}

// bridge turns memberlist's lines into records.
func bridge(l *slog.Logger) *log.Logger {
	return log.New(&lines{log: l, limit: rate.NewLimiter(logRate, logBurst)}, "", 0)
}

type lines struct {
	log     *slog.Logger
	limit   *rate.Limiter
	skipped atomic.Uint64
}

func (w *lines) Write(b []byte) (int, error) {
	text := string(bytes.TrimSpace(b))
	level := slog.LevelInfo
	if tag, rest, ok := strings.Cut(text, "] "); ok && strings.HasPrefix(tag, "[") {
		text = rest
		if tag == "[DEBUG" {
			level = slog.LevelDebug
		}
	}
	text = strings.TrimPrefix(text, "memberlist: ")
	switch {
	case begins(text, routine):
		level = slog.LevelDebug
	case begins(text, warnings):
		level = slog.LevelWarn
	}
	ctx := context.Background()
	if !w.log.Enabled(ctx, level) {
		return len(b), nil
	}
	if !w.limit.Allow() {
		w.skipped.Add(1)
		return len(b), nil
	}
	args := []any{}
	if n := w.skipped.Swap(0); n > 0 {
		args = append(args, "skipped", n)
	}
	w.log.Log(ctx, level, "gossip: "+text, args...)
	return len(b), nil
}
