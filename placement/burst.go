package placement

import (
	"maps"
	"time"
)

// burst counts participants placed on nodes since their load was last heard of.
type burst struct {
	since time.Time
	now   map[string]int
	prev  map[string]int
}

// loadAge is how old gossiped load may be; counts are kept for one to two times that.
const loadAge = 3 * time.Second

func (b *burst) turn(now time.Time) {
	switch age := now.Sub(b.since); {
	case age >= 2*loadAge:
		b.now, b.prev, b.since = map[string]int{}, nil, now
	case age >= loadAge:
		b.now, b.prev, b.since = map[string]int{}, b.now, now
	}
}

func (s *Service) placed(node string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.recent.turn(s.now())
	s.recent.now[node]++
}

func (s *Service) recentCounts() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.recent.turn(s.now())
	out := maps.Clone(s.recent.now)
	for n, c := range s.recent.prev {
		out[n] += c
	}
	return out
}
