package link

import (
	"fmt"
	"strconv"
	"testing"
	"testing/synctest"
	"time"
)

// Offers beyond what a channel holds push out the oldest that wait; the session lives,
// and a channel that must not lose anything does not.
func TestOffersDropTheOldest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t, conditions{delay: 20 * ms})
		defer p.stop()
		sa, _ := p.sessions(t)
		const n = 6 * offerQueue
		for i := range n {
			// Long enough that the path takes in few before time passes.
			if err := sa.Offer("lossy", fmt.Appendf(nil, "%0200d", i)); err != nil {
				t.Fatal(err)
			}
		}
		if err := sa.Send("facts", []byte("news")); err != nil {
			t.Fatal(err)
		}
		settle(2 * time.Second)
		p.b.mu.Lock()
		defer p.b.mu.Unlock()
		got := p.b.messages["lossy"]
		last := -1
		for _, m := range got {
			i, err := strconv.Atoi(m)
			if err != nil || i <= last {
				t.Fatalf("%q after %d", m, last)
			}
			last = i
		}
		// One queue that waits, one that is being written, and less than one that the path took.
		if last != n-1 || len(got) < offerQueue || len(got) > 3*offerQueue {
			t.Errorf("%d came, the last %d; want the newest %d", len(got), last, offerQueue)
		}
		if lost := int(sa.Stats().OffersLost); lost != n-len(got) {
			t.Errorf("%d counted as lost, want %d", lost, n-len(got))
		}
		if f := p.b.messages["facts"]; len(f) != 1 {
			t.Errorf("facts: %v", f)
		}
	})
}

func TestOffersAreBoundedInBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t, conditions{delay: 20 * ms})
		defer p.stop()
		sa, _ := p.sessions(t)
		for range 100 {
			if err := sa.Offer("lossy", make([]byte, offerBytes/8)); err != nil {
				t.Fatal(err)
			}
			sa.channels.mu.Lock()
			c := sa.channels.out["lossy"]
			if c.waiting > offerBytes || c.bytes > 2*offerBytes || sa.channels.held != c.bytes {
				t.Errorf("%d wait, %d held of %d", c.waiting, c.bytes, sa.channels.held)
			}
			sa.channels.mu.Unlock()
		}
		settle(2 * time.Second)
		sa.channels.mu.Lock()
		defer sa.channels.mu.Unlock()
		if sa.channels.held != 0 {
			t.Errorf("%d bytes held after all was sent", sa.channels.held)
		}
	})
}
