package scenario

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// lines keeps what is written to it.
type lines struct {
	mu  sync.Mutex // guards all
	all strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all.String()
}

// A mesh that starts, serves a meeting and stops, all being well, warns of nothing.
func TestQuietLogs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told, warned lines
		info := slog.NewTextHandler(&told, nil)
		warn := slog.NewTextHandler(&warned, &slog.HandlerOptions{Level: slog.LevelWarn})
		c := StartLogging(t, 47, 20*time.Millisecond, slog.New(slog.NewMultiHandler(info, warn)), "paris", "lyon", "marseille")
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		defer cancel()
		ann, bob := c.Join(ctx, "paris", "standup", "ann", ""), c.Join(ctx, "lyon", "standup", "bob", "")
		v, err := ann.PublishVideo(ctx, 1, 30, 1000)
		if err != nil {
			t.Fatal(err)
		}
		if err := bob.WaitPackets(ctx, v.Info.Sid, 300); err != nil {
			t.Error(err)
		}
		ann.Close()
		bob.Close()
		pass(30 * time.Second)
		c.Close()
		if told.String() == "" {
			t.Error("nothing is logged")
		}
		if w := warned.String(); w != "" {
			t.Errorf("warnings:\n%s", w)
		}
	})
}
