package link

import (
	"sync"

	"maille/relay"
)

const (
	// A peer may have this many packets a second looked up for it, and a burst of them: a
	// fifth of the busiest link's packets. What it asks beyond that it does not get.
	lookupsPerSecond = 8000
	lookupsAtOnce    = 16000
	// maxReasons bounds the texts by which refused tracks are counted: they are the handler's.
	maxReasons = 16
	maxReason  = 64
)

// budget bounds the work that a peer's requests make.
type budget struct {
	sync.Mutex // guards the rest
	bucket     bucket
}

// spend takes n lookups from the peer's budget; false, and counted, when it is used up.
func (s *Session) spend(n int) bool {
	b := &s.budget
	b.Lock()
	defer b.Unlock()
	b.bucket.set(lookupsPerSecond, lookupsAtOnce, relay.Now())
	if n == 0 || b.bucket.tokens >= float64(n) {
		b.bucket.tokens -= float64(n)
		return true
	}
	s.counters.excess.Add(uint64(n))
	return false
}

// reasons counts refused tracks.
type reasons struct {
	mu     sync.Mutex // guards counts
	counts map[string]uint64
}

// refusedPull counts a track that the peer was refused.
func (s *Session) refusedPull(err error) {
	s.counters.refusedPulls.Add(1)
	r := &s.refusals
	r.mu.Lock()
	defer r.mu.Unlock()
	why := shortened(err.Error())
	if r.counts == nil {
		r.counts = make(map[string]uint64)
	}
	if _, known := r.counts[why]; !known && len(r.counts) >= maxReasons {
		why = "other"
	}
	r.counts[why]++
}

func (r *reasons) snapshot() map[string]uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := make(map[string]uint64, len(r.counts))
	for why, n := range r.counts {
		out[why] = n
	}
	return out
}

// shortened bounds a text that goes to the peer or names a count.
func shortened(why string) string { return why[:min(len(why), maxReason)] }
