package link

import (
	"sync"

	"maille/relay"
)

// A track may have to be looked for by a room that has much to do, which must not keep what
// the peer asks of other rooms waiting. So tracks of one room are opened one after the
// other, by a goroutine that ends with them, while the control reader goes on.

// opening is a stream that the peer asks for and that is not open yet, with what the peer
// has asked of it so far.
type opening struct {
	handle uint16
	ref    TrackRef
	wishes
}

// wishes are what a peer asked of a stream since it was last looked at.
type wishes struct {
	any       bool
	layers    relay.LayerSet
	watchers  uint32
	keyframes [relay.MaxSpatial]bool
	closed    bool
}

type openings struct {
	mu      sync.Mutex // guards the fields below
	handles map[uint16]*opening
	rooms   map[string][]*opening // of each that has a goroutine, those it has not begun with
}

// add queues an opening; first tells that its room needs a goroutine.
func (t *openings) add(op *opening) (first bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.handles == nil {
		t.handles, t.rooms = make(map[uint16]*opening), make(map[string][]*opening)
	}
	t.handles[op.handle] = op
	waiting, busy := t.rooms[op.ref.Room]
	t.rooms[op.ref.Room] = append(waiting, op)
	return !busy
}

// ask notes what the peer asks of a stream; false when that is not being opened.
func (t *openings) ask(handle uint32, note func(*wishes)) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	op := t.handles[uint16(handle)]
	if op == nil || handle > 0xffff {
		return false
	}
	op.any = true
	note(&op.wishes)
	return true
}

func (t *openings) count() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.handles)
}

// next is the opening whose turn it is in a room, nil when the room's goroutine may end.
func (t *openings) next(room string) *opening {
	t.mu.Lock()
	defer t.mu.Unlock()
	waiting := t.rooms[room]
	if len(waiting) == 0 {
		delete(t.rooms, room)
		return nil
	}
	t.rooms[room] = waiting[1:]
	return waiting[0]
}

// take returns what the peer asked of an opening, and none when there is nothing any more:
// from then on the control reader acts by itself.
func (t *openings) take(op *opening) (w wishes, none bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if w = op.wishes; !w.any {
		delete(t.handles, op.handle)
		return w, true
	}
	op.wishes = wishes{layers: w.layers, watchers: w.watchers}
	return w, false
}

func (t *openings) drop(op *opening) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.handles, op.handle)
}

// openAll opens what the peer asks of one room.
func (s *Session) openAll(room string) {
	for op := s.openings.next(room); op != nil && s.ctx.Err() == nil; op = s.openings.next(room) {
		o, err := s.open(op)
		if err != nil {
			s.openings.drop(op)
			s.refuse(op.handle, err)
			continue
		}
		for w, none := s.openings.take(op); !none; w, none = s.openings.take(op) {
			o.wish(w)
		}
	}
}

// wish does what the peer asked of a stream while it was being opened.
func (o *outStream) wish(w wishes) {
	if w.closed {
		o.close()
		return
	}
	o.watchers.Store(w.watchers)
	o.want(w.layers)
	for spatial, yes := range w.keyframes {
		if yes {
			o.asked(uint8(spatial))
		}
	}
}
