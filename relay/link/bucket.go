package link

// bucket is a token bucket in bytes. It may be overdrawn: what passes without asking
// (audio) is paid back by what asks.
type bucket struct {
	tokens float64
	rate   float64 // bytes per second; 0 is no limit
	burst  float64
	at     int64
}

// set changes rate and burst after crediting the time until now.
func (b *bucket) set(rate, burst float64, now int64) {
	b.advance(now)
	if b.rate == 0 {
		b.tokens = burst
	}
	b.rate, b.burst = rate, burst
	b.tokens = min(b.tokens, burst)
}

func (b *bucket) advance(now int64) {
	if now > b.at {
		b.tokens = min(b.burst, b.tokens+b.rate*float64(now-b.at)/1e9)
		b.at = now
	}
}

func (b *bucket) take(n int) {
	// A debt of more than a quarter second would outlive its reason.
	b.tokens = max(b.tokens-float64(n), -b.rate/4)
}

// wait is how long until there are tokens, in nanoseconds.
func (b *bucket) wait() int64 {
	if b.tokens > 0 || b.rate <= 0 {
		return 0
	}
	return int64((1-b.tokens)/b.rate*1e9) + 1
}
