package obs

import (
	"context"
	"io"
	"log/slog"
	"os"
)

// NewLogger logs to f from a level on: text when a person reads along, JSON when f
// leads into a file or another program.
func NewLogger(f *os.File, level slog.Leveler) *slog.Logger {
	info, err := f.Stat()
	terminal := err == nil && info.Mode()&os.ModeCharDevice != 0
	return slog.New(handler(f, terminal, level))
}

func handler(w io.Writer, terminal bool, level slog.Leveler) slog.Handler {
	o := &slog.HandlerOptions{Level: level}
	if terminal {
		return slog.NewTextHandler(w, o)
	}
	return slog.NewJSONHandler(w, o)
}

// Calm lowers warnings to information while leaving says so: connections that break
// when a node stops are what stopping is. Errors stay errors.
func Calm(h slog.Handler, leaving func() bool) slog.Handler { return &calm{h, leaving} }

type calm struct {
	slog.Handler
	leaving func() bool
}

func (c *calm) lower(l slog.Level) slog.Level {
	if l == slog.LevelWarn && c.leaving() {
		return slog.LevelInfo
	}
	return l
}

func (c *calm) Enabled(ctx context.Context, l slog.Level) bool {
	return c.Handler.Enabled(ctx, c.lower(l))
}

func (c *calm) Handle(ctx context.Context, r slog.Record) error {
	if r.Level = c.lower(r.Level); !c.Handler.Enabled(ctx, r.Level) {
		return nil
	}
	return c.Handler.Handle(ctx, r)
}

func (c *calm) WithAttrs(as []slog.Attr) slog.Handler {
	return &calm{c.Handler.WithAttrs(as), c.leaving}
}

func (c *calm) WithGroup(name string) slog.Handler {
	return &calm{c.Handler.WithGroup(name), c.leaving}
}
