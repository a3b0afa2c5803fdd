package room

import (
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	meshpb "maille/proto/mesh"
	"maille/relay"
	"maille/relay/track"
)

// linked is a node of a region with links that come and go.
type linked struct {
	alone
	mu    sync.Mutex // guards all below
	down  []string
	pulls []*pull
}

// pull is a track taken from a node.
type pull struct {
	from   string
	done   chan struct{}
	closed bool
}

func (p *pull) Demand(relay.LayerSet)  {}
func (p *pull) Keyframe(uint8)         {}
func (p *pull) Resend(uint8, []uint16) {}
func (p *pull) Done() <-chan struct{}  { return p.done }
func (p *pull) Close() {
	if !p.closed {
		p.closed = true
		close(p.done)
	}
}

func (l *linked) Self() string           { return "l2" }
func (l *linked) Region() string         { return "lyon" }
func (l *linked) RegionOf(string) string { return "" }
func (l *linked) Linked(node string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return !slices.Contains(l.down, node)
}

func (l *linked) Pull(from, _ string, into *track.Track) Upstream {
	l.mu.Lock()
	defer l.mu.Unlock()
	p := &pull{from: from, done: make(chan struct{})}
	l.pulls = append(l.pulls, p)
	into.SetSource(p)
	return p
}

func (l *linked) set(down ...string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.down = down
}

// open lists where the track is taken from now.
func (l *linked) open() (out []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, p := range l.pulls {
		if !p.closed {
			out = append(out, p.from)
		}
	}
	return out
}

// upstreams runs a test with a track of p1 that a node of lyon takes in, lyon's gateway
// being l1.
func upstreams(t *testing.T, f func(l *linked, r *Room, is func(when string, from ...string))) {
	synctest.Test(t, func(t *testing.T) {
		l := new(linked)
		record := &meshpb.Room{Name: "standup", Sid: "RM_1", Epoch: 1, Serving: map[string]*meshpb.NodeList{
			"paris": {Nodes: []string{"p1"}}, "lyon": {Nodes: []string{"l1", "l2"}},
		}, Settings: new(meshpb.RoomSettings)}
		r := New(l, record, slog.New(slog.DiscardHandler))
		_ = r.call(func() {
			rel := newRelayed(track.New("TR_1", relay.Video, "video/VP8"), "p1")
			rel.track.Attach(ignores{}, relay.AllLayers)
			r.relayed["TR_1"] = rel
			r.steer(rel)
		})
		f(l, r, func(when string, from ...string) {
			t.Helper()
			synctest.Wait()
			if got := l.open(); !slices.Equal(got, from) {
				t.Errorf("%s: taken from %v, want %v", when, got, from)
			}
		})
		r.stop()
		<-r.done
		synctest.Wait()
		if got := l.open(); len(got) > 0 {
			t.Errorf("the room has ended and takes it from %v", got)
		}
	})
}

type ignores struct{}

func (ignores) Push(*relay.Packet) {}
func (ignores) Clock(relay.Clock)  {}
func (ignores) Close()             {}

// A better way is taken while the one before still brings packets; of two ways that work
// one is left.
func TestBetterWayIsTakenBeforeTheOtherIsLeft(t *testing.T) {
	upstreams(t, func(l *linked, r *Room, is func(string, ...string)) {
		is("at first", "l1")
		l.set("l1")
		r.LinkDown("l1")
		is("the gateway is cut off, its session not over yet", "l1", "p1")
		<-time.After(handoverFor + time.Second)
		is("later", "p1")
		l.set()
		r.LinkUp("l1")
		is("the gateway is back", "p1", "l1")
		<-time.After(handoverFor / 2)
		l.set("l1")
		r.LinkDown("l1")
		is("and gone again: the way before is open still", "p1")
		<-time.After(handoverFor + time.Second)
		is("at last", "p1")
	})
}

// A refusal, or the end of a session, costs no time: the next way is tried at once.
func TestRefusedWayIsLeftAtOnce(t *testing.T) {
	upstreams(t, func(l *linked, _ *Room, is func(string, ...string)) {
		is("at first", "l1")
		l.pulls[0].Close() // as the gateway revokes it
		is("refused", "p1")
		l.pulls[1].Close()
		is("by both", []string(nil)...)
		<-time.After(avoidFor + time.Second)
		is("asked again", "l1")
	})
}

// A gateway that is itself cut off from the origin is asked again ever more rarely, and the
// way around it is not given up for the question.
func TestRefusalsDoNotDisturbTheWayThatWorks(t *testing.T) {
	upstreams(t, func(l *linked, _ *Room, is func(string, ...string)) {
		for range 3000 {
			l.mu.Lock()
			newest := l.pulls[len(l.pulls)-1]
			l.mu.Unlock()
			if newest.from == "l1" {
				newest.Close() // refused
			}
			<-time.After(100 * time.Millisecond)
		}
		is("after five minutes", "p1")
		asked := make(map[string]int)
		for _, p := range l.pulls {
			asked[p.from]++
		}
		if asked["p1"] != 1 || asked["l1"] < 5 || asked["l1"] > 20 {
			t.Errorf("asked %v times; want p1 once and l1 now and then", asked)
		}
	})
}
