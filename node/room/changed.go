package room

import (
	"time"

	"maille/node/guard"
)

// A participant's changes go to everyone in the room, and with them all it says of
// itself. So what one client can have sent is bounded in bytes, for each receiver:
// newsRate a second, and once in a while the burst. Honest clients change a few times a
// minute; of a flood of changes the others hear the newest, a little later.
const (
	newsRate  = 32 << 10
	newsBurst = 256 << 10
	// newsLeast is what a small change counts: each also costs the room's loop a look at
	// everybody's subscriptions.
	newsLeast = 2 << 10
)

// newsBudget is the account of one participant's changes, in bytes. It is pure: time is
// an argument. The zero value is full.
type newsBudget struct {
	spent float64
	at    time.Time
}

// take reports whether a change of so many bytes may go out now, and if so takes them.
// The first of a pause may, whatever its size.
func (b *newsBudget) take(bytes int, now time.Time) bool {
	if !b.at.IsZero() {
		b.spent = max(0, b.spent-newsRate*now.Sub(b.at).Seconds())
	}
	b.at = now
	if cost := float64(max(bytes, newsLeast)); b.spent == 0 || b.spent+cost <= newsBurst {
		b.spent += cost
		return true
	}
	return false
}

// changed tells the room of what a participant changed, now or when its budget allows.
func (r *Room) changed(p *Participant) {
	m, err := p.member().Encode()
	if err == nil && !p.news.take(len(m.Info)+len(m.Permission), r.env.Now()) {
		p.unsaid = true
		r.env.Refuse(guard.News)
		return
	}
	p.unsaid = false
	r.announce([]*Participant{p})
}

// catchUp tells what changed has held back.
func (r *Room) catchUp() {
	for _, p := range r.local {
		if p.unsaid && !p.gone {
			r.changed(p)
		}
	}
}
