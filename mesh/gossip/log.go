package gossip

import (
	"bytes"
	"context"
	"log"
	"log/slog"
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
		switch tag {
		case "[DEBUG":
			level = slog.LevelDebug
		case "[WARN":
			level = slog.LevelWarn
		case "[ERR":
			// Its errors are failed probes and unreadable packets: a peer's trouble,
			// not this node's.
			level = slog.LevelWarn
		}
	}
	text = strings.TrimPrefix(text, "memberlist: ")
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
