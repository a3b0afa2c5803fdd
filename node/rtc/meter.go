package rtc

import "time"

// rate bounds what one client sends on one kind of channel, before anything is fanned
// out.
type rate struct {
	perMessage, perByte int64 // nanoseconds of the client's time each costs
	burst               int64 // nanoseconds it may be ahead
}

// meter measures a client against a rate: two leaky buckets that hold time. The zero
// meter is full.
type meter struct {
	messages, bytes int64 // when what was taken so far is paid for
}

// take pays for a message and returns how long it is until the client is within the
// rate again; zero when it is.
func (m *meter) take(r rate, now int64, n int) time.Duration {
	m.charge(r, now, 1, n)
	return time.Duration(max(0, m.messages-now-r.burst, m.bytes-now-r.burst))
}

// try pays for a message if it is within the rate.
func (m *meter) try(r rate, now int64, n int) bool {
	if max(m.messages, m.bytes)-now > r.burst {
		return false
	}
	m.charge(r, now, 1, n)
	return true
}

// charge pays whatever the rate says: it makes debts.
func (m *meter) charge(r rate, now int64, messages, bytes int) {
	m.messages = max(m.messages, now) + int64(messages)*r.perMessage
	m.bytes = max(m.bytes, now) + int64(bytes)*r.perByte
}

// perSecond makes a rate of so many messages and bytes a second.
func perSecond(messages, bytes int, burst time.Duration) rate {
	return rate{int64(time.Second) / int64(messages), int64(time.Second) / int64(bytes), int64(burst)}
}
