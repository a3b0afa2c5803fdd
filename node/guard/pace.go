package guard

import (
	"maps"
	"sync"
	"time"
)

// Pace bounds how often something is done by each of many: Rate times a second, and
// once in a while Burst. Time is an argument. It is safe for concurrent use once its
// exported fields are set.
type Pace struct {
	Rate, Burst float64
	// Most bounds how many are told apart. Beyond it those who have done nothing lately
	// are forgotten first, and if there are none newcomers are not counted.
	Most int

	mu   sync.Mutex // guards held
	held map[string]account
}

// account is what someone has spent, as of a moment.
type account struct {
	spent float64
	at    time.Time
}

func (a account) after(now time.Time, rate float64) float64 {
	return max(0, a.spent-rate*now.Sub(a.at).Seconds())
}

// Take reports whether who may do it at now, and if so counts it.
func (p *Pace) Take(who string, now time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.held == nil {
		p.held = make(map[string]account)
	}
	a, known := p.held[who]
	spent := a.after(now, p.Rate)
	if spent+1 > p.Burst {
		return false
	}
	if !known && len(p.held) >= p.Most {
		maps.DeleteFunc(p.held, func(_ string, a account) bool { return a.after(now, p.Rate) == 0 })
		if len(p.held) >= p.Most {
			return true
		}
	}
	p.held[who] = account{spent + 1, now}
	return true
}
