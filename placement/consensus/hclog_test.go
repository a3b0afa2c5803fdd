package consensus

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"
)

// A peer that does not answer is one line in half a minute, whatever Raft calls it.
func TestBridgeTellsSilenceOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		l := hcLogger(slog.New(slog.NewTextHandler(&out, nil)))
		lyon := raft.Server{ID: "lyon@x", Address: "lyon@x"}
		silence := func() {
			for range 50 {
				l.Error("failed to heartbeat to", "peer", raft.ServerAddress("lyon@x"), "backoff time", time.Second, "error", errors.New("EOF"))
				l.Error("failed to appendEntries to", "peer", lyon, "error", errors.New("EOF"))
				l.With("id", "x").Warn("failed to contact", "server-id", lyon.ID, "time", time.Second)
			}
		}
		silence()
		if n := strings.Count(out.String(), "\n"); n != 1 {
			t.Errorf("%d lines, want 1:\n%s", n, &out)
		}
		if want := `level=WARN msg="raft: failed to heartbeat to" peer=lyon "backoff time"=1s err=EOF`; !strings.Contains(out.String(), want) {
			t.Errorf("no %s in %s", want, &out)
		}
		l.Error("failed to heartbeat to", "peer", raft.ServerAddress("paris@y"))
		<-time.After(tellEvery)
		silence()
		if n := strings.Count(out.String(), "\n"); n != 3 {
			t.Errorf("%d lines, want one more for paris and one for later:\n%s", n, &out)
		}
	})
}

func TestBridgeLevels(t *testing.T) {
	for msg, want := range map[string]string{
		"no known peers, aborting election":                "",
		"pre-vote successful, starting election":           "",
		"failed to decode incoming command":                "",
		"election won":                                     "",
		"removed ourself, transitioning to follower":       "INFO",
		"failed to contact quorum of nodes, stepping down": "WARN",
		"failed to append to logs":                         "ERROR",
	} {
		var out bytes.Buffer
		l := hcLogger(slog.New(slog.NewTextHandler(&out, nil)))
		switch want {
		case "", "ERROR":
			l.Error(msg)
		case "WARN":
			l.Warn(msg)
		default:
			l.Info(msg)
		}
		if want == "" && out.Len() > 0 || want != "" && !strings.Contains(out.String(), "level="+want) {
			t.Errorf("%q: %s, want %q", msg, &out, want)
		}
	}
}

func TestTroublesAreBounded(t *testing.T) {
	tr := &troubles{told: make(map[string]time.Time)}
	now := time.Now()
	for i := range 10 * maxTroubles {
		tr.tell(string(rune('a'+i%1000)), now.Add(time.Duration(i)*time.Minute))
	}
	if len(tr.told) > maxTroubles {
		t.Errorf("%d peers remembered", len(tr.told))
	}
}
