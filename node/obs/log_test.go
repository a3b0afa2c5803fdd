package obs

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestLoggerFollowsReader(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	log := NewLogger(f, slog.LevelWarn)
	log.Info("quiet")
	log.Warn("loud", "peer", "lyon")
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var line struct{ Level, Msg, Peer string }
	if err := json.Unmarshal(b, &line); err != nil || line.Msg != "loud" || line.Peer != "lyon" {
		t.Errorf("%s: %v", b, err)
	}
	var out bytes.Buffer
	slog.New(handler(&out, true, slog.LevelInfo)).Info("to a person")
	if !strings.Contains(out.String(), `level=INFO msg="to a person"`) {
		t.Errorf("to a terminal: %s", &out)
	}
}

func TestCalm(t *testing.T) {
	var out bytes.Buffer
	leaving := false
	log := slog.New(Calm(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelWarn}), func() bool { return leaving })).
		With("node", "paris").WithGroup("g")
	log.Warn("one")
	leaving = true
	log.Warn("two")
	log.Error("three")
	if got := out.String(); strings.Count(got, "\n") != 2 || strings.Contains(got, "two") || !strings.Contains(got, "node=paris") {
		t.Errorf("logged:\n%s", got)
	}
}
