package link

import (
	"sync"
	"sync/atomic"
)

// inTable holds the streams this side receives, by the handle it chose. Lanes read it
// without a lock: two levels of arrays, the second made when needed.
type inTable struct {
	pages [handles / 256]atomic.Pointer[[256]atomic.Pointer[Upstream]]

	mu    sync.Mutex // guards the fields below
	count int
	next  uint16
	ended error
	gaps  []*Upstream // with gaps to ask for
}

func (t *inTable) slot(handle uint16) *atomic.Pointer[Upstream] {
	page := t.pages[handle>>8].Load()
	if page == nil {
		return nil
	}
	return &page[handle&0xff]
}

func (t *inTable) get(handle uint32) *Upstream {
	if handle >= handles {
		return nil
	}
	if slot := t.slot(uint16(handle)); slot != nil {
		return slot.Load()
	}
	return nil
}

// handles go round twice as many as there may be streams, so that what is still under
// way for an ended stream does not reach a new one.
const handles = 2 * maxStreams

// add chooses a handle.
func (t *inTable) add(u *Upstream) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ended != nil {
		return t.ended
	}
	if t.count >= maxStreams {
		return errHandles
	}
	for {
		t.next = (t.next + 1) % handles
		if t.pages[t.next>>8].Load() == nil {
			t.pages[t.next>>8].Store(new([256]atomic.Pointer[Upstream]))
		}
		if slot := t.slot(t.next); slot.Load() == nil {
			u.handle = t.next
			slot.Store(u)
			t.count++
			return nil
		}
	}
}

func (t *inTable) remove(u *Upstream) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if slot := t.slot(u.handle); slot != nil && slot.CompareAndSwap(u, nil) {
		t.count--
	}
}

func (t *inTable) all() []*Upstream {
	var out []*Upstream
	for i := range t.pages {
		if page := t.pages[i].Load(); page != nil {
			for j := range page {
				if u := page[j].Load(); u != nil {
					out = append(out, u)
				}
			}
		}
	}
	return out
}

// fail ends one stream.
func (t *inTable) fail(handle uint32, err error) {
	if u := t.get(handle); u != nil {
		t.remove(u)
		u.finish(err)
	}
}

// end ends every stream when the session is over.
func (t *inTable) end(err error) {
	t.mu.Lock()
	t.ended = err
	t.mu.Unlock()
	for _, u := range t.all() {
		t.remove(u)
		u.finish(err)
	}
}

// noteGap puts a stream on the list of those to ask for.
func (t *inTable) noteGap(u *Upstream) {
	if t.keepGap(u) {
		u.s.wake()
	}
}

// keepGap is noteGap for the upkeep itself.
func (t *inTable) keepGap(u *Upstream) (added bool) {
	if u.gapped.Swap(true) {
		return false
	}
	t.mu.Lock()
	t.gaps = append(t.gaps, u)
	t.mu.Unlock()
	return true
}

// takeGaps returns the list and empties it; those that still have gaps come back with
// noteGap.
func (t *inTable) takeGaps(dst []*Upstream) []*Upstream {
	t.mu.Lock()
	defer t.mu.Unlock()
	dst = append(dst[:0], t.gaps...)
	clear(t.gaps)
	t.gaps = t.gaps[:0]
	return dst
}
