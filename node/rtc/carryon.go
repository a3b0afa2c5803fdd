package rtc

import "encoding/binary"

// A client that comes from another node remembers the transport-wide numbers of that
// node. If ours are lower, each of its reports reaches from them up to those, and calls
// all of ours lost that are still on their way. Only the client knows how far the other
// node had counted; its first report tells, and our numbers go on from there.

// maxSkips bounds how often a client may move our numbers: once is enough, unless
// several reports were on their way together.
const maxSkips = 8

// skip makes the numbers go on after those that a report tells of. It is true for a
// report that tells of numbers that were never given: such a one is of no use. It is
// called by one goroutine at a time.
func (c *pathToClient) skip(report []byte) bool {
	const fields = 4 // base sequence number and how many it tells of
	if c.skips == 0 || len(report) < fields {
		return false
	}
	last := binary.BigEndian.Uint16(report) + binary.BigEndian.Uint16(report[2:]) - 1
	for {
		now := c.next.Load()
		ahead := int16(last - uint16(now))
		if ahead <= 0 {
			return false
		}
		if c.next.CompareAndSwap(now, now+uint32(ahead)) {
			c.skips--
			return true
		}
	}
}
