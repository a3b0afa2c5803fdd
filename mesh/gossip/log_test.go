package gossip

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestBridge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		l := bridge(slog.New(slog.NewTextHandler(&out, nil)))
		l.Printf("[DEBUG] memberlist: quiet")
		l.Printf("[ERR] memberlist: Decrypt packet failed: %s", "no\nsense")
		l.Printf("[INFO] memberlist: Suspect n1 has failed, no acks received")
		l.Printf("[ERR] memberlist: Failed to send UDP ping: no route")
		l.Printf("[ERR] memberlist: Received invalid msgType")
		l.Printf("no level")
		lines := strings.Split(strings.TrimSpace(out.String()), "\n")
		for i, want := range []string{
			`level=WARN msg="gossip: Decrypt packet failed: no\nsense"`,
			`level=INFO msg="gossip: Received invalid msgType"`,
			`level=INFO msg="gossip: no level"`,
		} {
			if i >= len(lines) || !strings.HasSuffix(lines[i], want) {
				t.Errorf("line %d is not %s in:\n%s", i, want, &out)
			}
		}

		out.Reset()
		for range 1000 {
			l.Printf("[ERR] memberlist: flood")
		}
		if n := strings.Count(out.String(), "flood"); n > logBurst {
			t.Errorf("%d lines of a flood", n)
		}
		<-time.After(time.Second)
		out.Reset()
		l.Printf("[INFO] memberlist: later")
		if !strings.Contains(out.String(), "skipped=9") {
			t.Errorf("what was skipped is not told: %s", &out)
		}
	})
}
