package link

import (
	"time"

	"maille/relay"
)

const (
	// pastFor is how long a path is taken to be as it was.
	pastFor = int64(10 * time.Minute)
	// pastMost bounds the lanes a session starts with: whether the path still needs more
	// shows within a second.
	pastMost = 32
	// maxPast bounds the peers remembered.
	maxPast = 256
)

// pastLanes is how many lanes a session had when it ended.
type pastLanes struct {
	lanes int
	at    int64
}

// remember keeps the number of lanes that s came to want; e.mu is held.
func (e *Endpoint) remember(s *Session) {
	s.lanes.mu.Lock()
	own := s.lanes.own
	s.lanes.mu.Unlock()
	now := relay.Now()
	if _, known := e.before[s.peer]; !known && len(e.before) >= maxPast {
		for name, p := range e.before {
			if now-p.at > pastFor || own > p.lanes {
				delete(e.before, name)
				break
			}
		}
	}
	if len(e.before) < maxPast {
		e.before[s.peer] = pastLanes{own, now}
	}
}

// firstLanes is how many lanes a new session starts with.
func (e *Endpoint) firstLanes(peer string) int {
	e.mu.Lock()
	defer e.mu.Unlock()
	p, known := e.before[peer]
	if !known || relay.Now()-p.at > pastFor {
		return e.cfg.Lanes
	}
	return max(min(p.lanes, pastMost), e.cfg.Lanes)
}
