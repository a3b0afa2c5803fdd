package obs

// Key names a row of totals.
type Key struct {
	// Where is what counted: one of the constants below.
	Where string
	// Peer is the node at the other end of a link, else empty.
	Peer string
	// Kind is audio or video, or empty for counters that do not tell.
	Kind string
}

// Where counts come from.
const (
	Publication  = "publication"  // a client's track into this node
	Fanout       = "track"        // the fan-out of a track to its sinks
	Subscription = "subscription" // a track to a client
	Data         = "data"         // messages of clients
	LinkSession  = "link"         // a link as a whole
	LinkIn       = "link_in"      // a track over a link into this node
	LinkOut      = "link_out"     // a track over a link to its peer
)

// Counts are what one thing counted since it began.
type Counts struct {
	Packets, Bytes uint64
	Lost           uint64 // never came
	Repaired       uint64 // sent again, or came on request
	Asked          uint64 // packets asked for again, by a client or of one
	Keyframes      uint64 // requests for keyframes
	Drops          map[string]uint64
}

// Flow is one thing that counts: a track, a subscription, a link.
type Flow struct {
	// Of is the thing itself; it is compared, and not kept after it is gone.
	Of any
	Key
	Counts
}

// Ledger makes totals that never go back out of counters that come and go with what
// they count. What a flow counts between the last Settle and its end is missing from
// the totals. Not safe for concurrent use.
type Ledger struct {
	turn   uint64
	last   map[entry]*settled
	totals map[Key]*Counts
}

type entry struct {
	of  any
	key Key
}

type settled struct {
	counts Counts
	turn   uint64
}

// Settle adds what the flows counted since the last call. Totals of peers that are no
// longer members are forgotten, so that names do not pile up.
func (l *Ledger) Settle(flows []Flow, member func(peer string) bool) {
	if l.last == nil {
		l.last, l.totals = make(map[entry]*settled), make(map[Key]*Counts)
	}
	l.turn++
	for _, f := range flows {
		at := entry{f.Of, f.Key}
		s := l.last[at]
		if s == nil {
			s = new(settled)
			l.last[at] = s
		}
		t := l.totals[f.Key]
		if t == nil {
			t = new(Counts)
			l.totals[f.Key] = t
		}
		s.counts, s.turn = t.add(f.Counts, s.counts), l.turn
	}
	for at, s := range l.last {
		if s.turn != l.turn {
			delete(l.last, at)
		}
	}
	for key := range l.totals {
		if key.Peer != "" && !member(key.Peer) {
			delete(l.totals, key)
		}
	}
}

// Totals returns a copy.
func (l *Ledger) Totals() map[Key]Counts {
	out := make(map[Key]Counts, len(l.totals))
	for key, t := range l.totals {
		c := *t
		c.Drops = make(map[string]uint64, len(t.Drops))
		for why, n := range t.Drops {
			c.Drops[why] = n
		}
		out[key] = c
	}
	return out
}

// add adds what was counted since before, and returns what to compare with next time.
// A flow with fewer packets than before has begun anew. Any other counter that is lower
// took something back, as when a lost packet came after all: that adds nothing, and
// only what exceeds the highest count so far is new.
func (c *Counts) add(now, before Counts) Counts {
	if now.Packets < before.Packets {
		before = Counts{}
	}
	for _, n := range []struct{ total, now, before *uint64 }{
		{&c.Packets, &now.Packets, &before.Packets},
		{&c.Bytes, &now.Bytes, &before.Bytes},
		{&c.Lost, &now.Lost, &before.Lost},
		{&c.Repaired, &now.Repaired, &before.Repaired},
		{&c.Asked, &now.Asked, &before.Asked},
		{&c.Keyframes, &now.Keyframes, &before.Keyframes},
	} {
		*n.now = max(*n.now, *n.before)
		*n.total += *n.now - *n.before
	}
	for why, n := range now.Drops {
		if c.Drops == nil {
			c.Drops = make(map[string]uint64)
		}
		c.Drops[why] += max(n, before.Drops[why]) - before.Drops[why]
	}
	return now
}
