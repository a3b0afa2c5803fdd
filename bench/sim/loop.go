package sim

import "time"

// event is something that happens at an instant. It fires on the delivery loop without
// Network.mu held.
type event interface{ fire(n *Network) }

// slot is an event with its instant; seq keeps events of one instant in the order they
// were scheduled.
type slot struct {
	at  int64
	seq uint64
	ev  event
}

func (a slot) before(b slot) bool { return a.at < b.at || a.at == b.at && a.seq < b.seq }

// calendar is a binary heap of slots; container/heap would allocate for every packet.
type calendar []slot

func (c *calendar) push(s slot) {
	h := append(*c, s)
	i := len(h) - 1
	for i > 0 {
		up := (i - 1) / 2
		if !h[i].before(h[up]) {
			break
		}
		h[i], h[up] = h[up], h[i]
		i = up
	}
	*c = h
}

func (c *calendar) pop() slot {
	h := *c
	top := h[0]
	last := len(h) - 1
	h[0] = h[last]
	h[last] = slot{}
	h = h[:last]
	for i := 0; ; {
		least := i
		for k := 2*i + 1; k <= 2*i+2 && k < last; k++ {
			if h[k].before(h[least]) {
				least = k
			}
		}
		if least == i {
			break
		}
		h[i], h[least] = h[least], h[i]
		i = least
	}
	*c = h
	return top
}

// now is the time since the network began, in nanoseconds.
func (n *Network) now() int64 { return int64(time.Since(n.start)) }

// schedule has ev fire at the given instant. n.mu is held.
func (n *Network) schedule(at int64, ev event) {
	if n.closed {
		return
	}
	n.seq++
	n.calendar.push(slot{at, n.seq, ev})
	if n.calendar[0].seq == n.seq {
		select {
		case n.wake <- struct{}{}:
		default:
		}
	}
}

// run is the delivery loop.
func (n *Network) run() {
	defer close(n.ended)
	const never = time.Hour
	timer := time.NewTimer(never)
	defer timer.Stop()
	for {
		wait := never
		n.mu.Lock()
		for len(n.calendar) > 0 {
			if d := time.Duration(n.calendar[0].at - n.now()); d > 0 {
				wait = d
				break
			}
			ev := n.calendar.pop().ev
			n.mu.Unlock()
			ev.fire(n)
			n.mu.Lock()
		}
		n.mu.Unlock()
		timer.Reset(wait)
		select {
		case <-timer.C:
		case <-n.wake:
		case <-n.done:
			return
		}
	}
}
