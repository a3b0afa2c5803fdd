package link

import (
	"strconv"
	"testing"
	"testing/synctest"
	"time"
)

// A session outlives rooms: more names than channels fit at once pass over it, and one
// that rested goes on in order.
func TestIdleChannelsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t, conditions{delay: 20 * ms})
		defer p.stop()
		sa, sb := p.sessions(t)
		const rounds, names = 4, maxChannels/2 - 1
		for round := range rounds {
			for i := range names {
				if err := sa.Send("room/"+strconv.Itoa(round*names+i), []byte("news")); err != nil {
					t.Fatal(round, i, err)
				}
			}
			if err := sa.Send("room/kept", []byte(strconv.Itoa(round))); err != nil {
				t.Fatal(err)
			}
			settle(time.Duration(channelIdle) + 2*time.Second)
		}
		for side, s := range []*Session{sa, sb} {
			s.channels.mu.Lock()
			if out, in := len(s.channels.out), len(s.channels.in); out+in > 0 {
				t.Errorf("side %d: %d channels out and %d in after all rested", side, out, in)
			}
			s.channels.mu.Unlock()
		}
		p.b.mu.Lock()
		defer p.b.mu.Unlock()
		for i := range rounds * names {
			if got := p.b.messages["room/"+strconv.Itoa(i)]; len(got) != 1 {
				t.Fatalf("room %d heard %v", i, got)
			}
		}
		kept := p.b.messages["room/kept"]
		for i, m := range kept {
			if m != strconv.Itoa(i) {
				t.Errorf("kept: %v", kept)
			}
		}
		if len(kept) != rounds {
			t.Errorf("kept: %v, want %d messages", kept, rounds)
		}
	})
}
