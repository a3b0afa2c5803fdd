package scenario

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"

	"maille/bench/client"
	"maille/node/auth"
	"maille/placement"
	meshpb "maille/proto/mesh"
)

// speaker is someone in a hall with an open microphone.
type speaker struct {
	*client.Client
	node  string
	sid   string // of the participant
	mic   *client.Published
	level uint8
}

// hall joins a speaker per level, spread over the nodes, and opens their microphones
// from the quietest to the loudest.
func hall(ctx context.Context, t *testing.T, c *Cluster, room string, nodes []string, levels ...uint8) []*speaker {
	t.Helper()
	var out []*speaker
	for i, level := range levels {
		s := &speaker{node: nodes[i%len(nodes)], level: level}
		s.Client = c.Join(ctx, s.node, room, fmt.Sprintf("speaker-%d", i), "")
		s.sid = s.Join().Participant.Sid
		out = append(out, s)
	}
	for _, s := range slices.Backward(out) {
		var err error
		if s.mic, err = s.PublishAudio(ctx, s.level); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

func (s *speaker) packets(of *speaker) uint64 {
	if r := s.Track(of.mic.Info.Sid); r != nil {
		return r.Packets.Load()
	}
	return 0
}

// hears returns whom s hears during a time, by index.
func hears(d time.Duration, s *client.Client, hall []*speaker) (out []int) {
	listener := &speaker{Client: s}
	var before []uint64
	for _, other := range hall {
		before = append(before, listener.packets(other))
	}
	pass(d)
	for i, other := range hall {
		if listener.packets(other) > before[i] {
			out = append(out, i)
		}
	}
	return out
}

// checkHall says who must hear whom: everybody hears the loud ones but themselves, the
// others not at all, with no number missing.
func checkHall(t *testing.T, when string, hall []*speaker, loud ...int) {
	t.Helper()
	got := make([][]int, len(hall))
	done := make(chan struct{})
	for i, s := range hall {
		go func() {
			got[i] = hears(time.Second, s.Client, hall)
			done <- struct{}{}
		}()
	}
	for range hall {
		<-done
	}
	for i, s := range hall {
		want := slices.DeleteFunc(slices.Clone(loud), func(j int) bool { return j == i })
		if !slices.Equal(got[i], want) {
			t.Errorf("%s: speaker %d at %s hears %v, want %v", when, i, s.node, got[i], want)
		}
		for j, other := range hall {
			if r := s.Track(other.mic.Info.Sid); r != nil && r.Gaps.Load() > 0 {
				t.Errorf("%s: speaker %d misses %d packets of %d", when, i, r.Gaps.Load(), j)
			}
		}
	}
}

// crossed returns how many packets of each speaker crossed links so far.
func crossed(ctx context.Context, c *Cluster, room string, hall []*speaker) []uint64 {
	out := make([]uint64, len(hall))
	for _, x := range crossings(c.Show(ctx, hall[0].node, room)) {
		for i, s := range hall {
			if s.mic.Info.Sid == x.track {
				out[i] += x.packets
			}
		}
	}
	return out
}

// Eight people on three nodes with open microphones: everyone hears the loudest three
// of the room, nothing of the others crosses a link, and who raises their voice is
// heard at once.
func TestLoudestAreHeard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := []string{"paris", "lyon", "brest"}
		c := Start(t, 21, 20*time.Millisecond, nodes...)
		defer c.Close()
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
		defer cancel()
		const room = "town-hall"
		people := hall(ctx, t, c, room, nodes, 20, 28, 36, 44, 52, 60, 68, 76)
		for _, s := range people {
			defer s.Close()
		}
		pass(3 * time.Second)
		checkHall(t, "at first", people, 0, 1, 2)

		before := crossed(ctx, c, room, people)
		pass(2 * time.Second)
		for i, after := range crossed(ctx, c, room, people) {
			n := after - before[i]
			if i < 3 && n < 150 { // 100 packets to each of two nodes
				t.Errorf("%d packets of speaker %d crossed in two seconds", n, i)
			}
			if i >= 3 && n > 0 {
				t.Errorf("%d packets of speaker %d crossed, who is not heard", n, i)
			}
		}

		// The quietest raises their voice.
		late := people[7]
		had := make([]uint64, len(people))
		for i, s := range people[:7] {
			had[i] = s.packets(late)
		}
		late.mic.SetLevel(18)
		began := time.Now()
		for i, s := range people[:7] {
			for s.packets(late) == had[i] && time.Since(began) < time.Second {
				pass(time.Millisecond)
			}
		}
		if took := time.Since(began); took > 100*time.Millisecond {
			t.Errorf("heard by all after %s, want within 100 ms", took)
		} else {
			t.Logf("heard by all after %s, 20 ms of it between the nodes", took)
		}
		pass(time.Second)
		checkHall(t, "after the change", people, 0, 1, 7)

		// Half the speakers stop; the next in line are heard.
		for _, i := range []int{0, 1, 7} {
			people[i].mic.SetLevel(127)
		}
		pass(2 * time.Second)
		checkHall(t, "after three fell silent", people, 2, 3, 4)
	})
}

// Active speakers are the same on every node, but for the time a message takes.
func TestSpeakersAgree(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const delay = 20 * time.Millisecond
		nodes := []string{"paris", "lyon", "brest"}
		c := Start(t, 24, delay, nodes...)
		defer c.Close()
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		defer cancel()
		people := hall(ctx, t, c, "debate", nodes, 20, 22, 24, 26, 127, 127)
		for _, s := range people {
			defer s.Close()
		}
		pass(2 * time.Second)
		list := func(s *speaker) (out []int) {
			for i, other := range people {
				if s.Speaking(other.sid) {
					out = append(out, i)
				}
			}
			return out
		}
		var apart, longest, sampled time.Duration
		for _, turn := range []struct {
			who   int
			level uint8
			want  []int
		}{
			{0, 20, []int{0, 1, 2, 3}}, {4, 18, []int{0, 1, 2, 3, 4}}, {1, 127, []int{0, 2, 3, 4}}, {0, 60, []int{2, 3, 4}},
		} {
			people[turn.who].mic.SetLevel(turn.level)
			for range 600 {
				same := true
				for _, s := range people[1:] {
					same = same && slices.Equal(list(s), list(people[0]))
				}
				if apart += 5 * time.Millisecond; same {
					apart = 0
				}
				longest = max(longest, apart)
				sampled += 5 * time.Millisecond
				pass(5 * time.Millisecond)
			}
			if got := list(people[0]); !slices.Equal(got, turn.want) {
				t.Errorf("%v speak, want %v", got, turn.want)
			}
		}
		if longest > 2*delay {
			t.Errorf("nodes differ for %s, %s apart", longest, delay)
		}
		t.Logf("nodes differ for at most %s in %s", longest, sampled)
	})
}

// The first word after a long silence is heard at once, and no number is missing.
func TestHeardAfterLongSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := []string{"paris", "lyon"}
		c := Start(t, 25, 20*time.Millisecond, nodes...)
		defer c.Close()
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
		defer cancel()
		people := hall(ctx, t, c, "retreat", nodes, 20, 127)
		for _, s := range people {
			defer s.Close()
		}
		pass(time.Second)
		speaks, listens := people[0], people[1]
		for _, silent := range []time.Duration{2 * time.Second, 7 * time.Second, 12 * time.Second, 70 * time.Second} {
			speaks.mic.SetLevel(127)
			pass(silent)
			had := listens.packets(speaks)
			sent := speaks.mic.Sent[0].Load()
			speaks.mic.SetLevel(30)
			pass(500 * time.Millisecond)
			got, said := listens.packets(speaks)-had, speaks.mic.Sent[0].Load()-sent
			// 80 ms: two or three packets on their way, and one that a speaker may need to be
			// ranked anew.
			if got+4 < said {
				t.Errorf("after %s of silence %d packets of %d came", silent, got, said)
			}
		}
		if n := listens.Track(speaks.mic.Info.Sid).Gaps.Load(); n > 0 {
			t.Errorf("%d numbers missing", n)
		}
	})
}

// A room may hear everyone.
func TestAllAreHeard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := []string{"paris", "lyon"}
		c := Start(t, 22, 20*time.Millisecond, nodes...)
		defer c.Close()
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		defer cancel()
		_, err := c.Nodes["paris"].Node.Placement().Join(ctx, placement.Request{
			Room: "choir", Region: "paris", Entry: "paris",
			Settings: &meshpb.RoomSettings{EmptyTimeoutS: 60, Loudest: proto.Uint32(0)},
		})
		if err != nil {
			t.Fatal(err)
		}
		people := hall(ctx, t, c, "choir", nodes, 20, 40, 60, 80, 100, 127)
		for _, s := range people {
			defer s.Close()
		}
		pass(2 * time.Second)
		checkHall(t, "choir", people, 0, 1, 2, 3, 4, 5)
	})
}

// A recorder gets every voice, over links too; nobody else gets more for it.
func TestRecorderHearsAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nodes := []string{"paris", "lyon", "brest"}
		c := Start(t, 23, 20*time.Millisecond, nodes...)
		defer c.Close()
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		defer cancel()
		people := hall(ctx, t, c, "hearing", nodes, 20, 28, 36, 44, 52, 60)
		for _, s := range people {
			defer s.Close()
		}
		pass(2 * time.Second)
		for _, tc := range []struct {
			name   string
			claims auth.Claims
		}{
			{"recorder", auth.Claims{Video: &auth.Grants{RoomJoin: true, Room: "hearing", Recorder: true, Hidden: true}}},
			{"egress", auth.Claims{Kind: "egress", Video: &auth.Grants{RoomJoin: true, Room: "hearing"}}},
			{"agent", auth.Claims{Kind: "agent", Video: &auth.Grants{RoomJoin: true, Room: "hearing"}}},
		} {
			tc.claims.Identity = tc.name
			cl := c.JoinAs(ctx, "lyon", &tc.claims)
			defer cl.Close()
			pass(2 * time.Second)
			if got := hears(time.Second, cl, people); len(got) != len(people) {
				t.Errorf("%s hears %v, want all", tc.name, got)
			}
			for i, s := range people {
				if r := cl.Track(s.mic.Info.Sid); r != nil && r.Gaps.Load() > 0 {
					t.Errorf("%s misses %d packets of %d", tc.name, r.Gaps.Load(), i)
				}
			}
			checkHall(t, "beside a "+tc.name, people, 0, 1, 2)
		}
		// Silence crosses to where they are, and nowhere else. Speaker 3 is in paris.
		silent := func() map[string]uint64 {
			to := make(map[string]uint64)
			for _, x := range crossings(c.Show(ctx, "paris", "hearing")) {
				if x.track == people[3].mic.Info.Sid {
					to[x.to] += x.packets
				}
			}
			return to
		}
		before := silent()
		pass(time.Second)
		after := silent()
		if n := after["lyon"] - before["lyon"]; n < 40 {
			t.Errorf("%d silent packets crossed to the recorders", n)
		}
		if n := after["brest"] - before["brest"]; n > 0 {
			t.Errorf("%d silent packets crossed to where nobody asks for them", n)
		}
	})
}
