package consensus

import (
	"context"
	"fmt"
	"io"
	"log"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
)

// bridge is hclog's interface over slog. It says what Raft says in an operator's
// words: what belongs to any election or catching up is for debugging, a peer that
// does not answer is told once in a while and not once a heartbeat, and servers go by
// their node's name.
type bridge struct {
	log   *slog.Logger
	name  string
	args  []any
	peers *troubles
}

func hcLogger(l *slog.Logger) hclog.Logger {
	return &bridge{log: l, peers: &troubles{told: make(map[string]time.Time)}}
}

// routine lines are part of every start, election and catching up, by how they begin.
var routine = []string{
	"no known peers", "initial configuration", "heartbeat timeout reached", "Election timeout reached",
	"pre-vote", "entering ", "election won", "duplicate requestVote", "rejecting ", "added peer", "removed peer", "updating peer",
	"pipelining replication", "aborting pipeline", "failed to start pipeline", "failed to pipeline", "appendEntries rejected",
	"failed to get previous log", "previous log term mis-match", "clearing log suffix", "skipping application of old log",
	// The far end of a connection went away; its own log says why.
	"failed to decode incoming command", "failed to flush response",
	"compacting logs", "no logs to truncate", "starting snapshot", "creating new snapshot", "reaping snapshot",
	"snapshot complete", "opening snapshot",
}

// unanswered lines say, each in its way, that a peer is out of reach.
var unanswered = []string{
	"failed to heartbeat to", "failed to appendEntries to", "failed to contact", "failed to make requestVote RPC",
	"failed to send snapshot to",
}

// tellEvery is how often one peer's silence is told.
const tellEvery = 30 * time.Second

// maxTroubles bounds the peers remembered; more than a cluster has.
const maxTroubles = 256

// troubles remembers which peers' silence was told, and when.
type troubles struct {
	mu   sync.Mutex // guards told
	told map[string]time.Time
}

func (t *troubles) tell(peer string, now time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if last, ok := t.told[peer]; ok && now.Sub(last) < tellEvery {
		return false
	}
	if len(t.told) >= maxTroubles {
		clear(t.told)
	}
	t.told[peer] = now
	return true
}

func begins(msg string, list []string) bool {
	return slices.ContainsFunc(list, func(prefix string) bool { return strings.HasPrefix(msg, prefix) })
}

// level is what a line is worth here.
func (b *bridge) level(l hclog.Level, msg string, args []any) slog.Level {
	switch {
	case l < hclog.Info || begins(msg, routine):
		return slog.LevelDebug
	case msg == "failed to contact quorum of nodes, stepping down":
		return slog.LevelWarn
	case begins(msg, unanswered):
		for i := 0; i+1 < len(args); i += 2 {
			if peer, ok := nodeOf(args[i], args[i+1]); ok && !b.peers.tell(peer, time.Now()) {
				return slog.LevelDebug
			}
		}
		return slog.LevelWarn // its trouble, not this node's
	}
	return slogLevel(l)
}

// nodeOf is the node that an attribute names: Raft has it as a server, as its id, and
// under several keys.
func nodeOf(key, value any) (string, bool) {
	switch key {
	case "peer", "server-id", "id", "target":
	default:
		return "", false
	}
	id := fmt.Sprint(value)
	if s, ok := value.(raft.Server); ok {
		id = string(s.ID)
	}
	name, _, ok := strings.Cut(id, "@")
	return name, ok
}

func slogLevel(l hclog.Level) slog.Level {
	switch {
	case l >= hclog.Error && l != hclog.Off:
		return slog.LevelError
	case l == hclog.Warn:
		return slog.LevelWarn
	case l == hclog.Info:
		return slog.LevelInfo
	default:
		return slog.LevelDebug
	}
}

func (b *bridge) enabled(l hclog.Level) bool {
	return b.log.Enabled(context.Background(), slogLevel(l))
}

func (b *bridge) Log(l hclog.Level, msg string, args ...any) {
	if l == hclog.Off || !b.enabled(l) {
		return
	}
	level := b.level(l, msg, args)
	if !b.log.Enabled(context.Background(), level) {
		return
	}
	b.log.Log(context.Background(), level, "raft: "+msg, attributes(args)...)
}

// attributes renames Raft's keys to those of the other logs.
func attributes(args []any) []any {
	out := make([]any, len(args))
	copy(out, args)
	for i, a := range out {
		if f, ok := a.(hclog.Format); ok && len(f) > 0 {
			// hclog.Fmt defers formatting; slog has no such value.
			out[i] = fmt.Sprintf(f[0].(string), f[1:]...)
		}
	}
	for i := 0; i+1 < len(out); i += 2 {
		if name, ok := nodeOf(out[i], out[i+1]); ok {
			out[i], out[i+1] = "peer", name
			continue
		}
		switch out[i] {
		case "error":
			out[i] = "err"
		case "node":
			out[i] = "server" // node is whose log this is
		}
	}
	return out
}

func (b *bridge) Trace(msg string, args ...any) { b.Log(hclog.Trace, msg, args...) }
func (b *bridge) Debug(msg string, args ...any) { b.Log(hclog.Debug, msg, args...) }
func (b *bridge) Info(msg string, args ...any)  { b.Log(hclog.Info, msg, args...) }
func (b *bridge) Warn(msg string, args ...any)  { b.Log(hclog.Warn, msg, args...) }
func (b *bridge) Error(msg string, args ...any) { b.Log(hclog.Error, msg, args...) }

func (b *bridge) IsTrace() bool { return false }
func (b *bridge) IsDebug() bool { return b.enabled(hclog.Debug) }
func (b *bridge) IsInfo() bool  { return b.enabled(hclog.Info) }
func (b *bridge) IsWarn() bool  { return b.enabled(hclog.Warn) }
func (b *bridge) IsError() bool { return b.enabled(hclog.Error) }

func (b *bridge) ImpliedArgs() []any { return b.args }
func (b *bridge) Name() string       { return b.name }

func (b *bridge) With(args ...any) hclog.Logger {
	return &bridge{
		log: b.log.With(args...), name: b.name, peers: b.peers, args: append(b.args[:len(b.args):len(b.args)], args...),
	}
}

func (b *bridge) Named(name string) hclog.Logger {
	return &bridge{log: b.log, name: name, args: b.args, peers: b.peers}
}

func (b *bridge) ResetNamed(name string) hclog.Logger { return b.Named(name) }
func (b *bridge) SetLevel(hclog.Level)                {}

func (b *bridge) GetLevel() hclog.Level {
	if b.IsDebug() {
		return hclog.Debug
	}
	return hclog.Info
}

func (b *bridge) StandardLogger(*hclog.StandardLoggerOptions) *log.Logger {
	return slog.NewLogLogger(b.log.Handler(), slog.LevelInfo)
}

func (b *bridge) StandardWriter(o *hclog.StandardLoggerOptions) io.Writer {
	return b.StandardLogger(o).Writer()
}
