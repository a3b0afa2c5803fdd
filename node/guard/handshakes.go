package guard

const (
	// handshakeBurst are records of a handshake that a client may send at once, and
	// handshakeRate how many more a second. A flight is ten at most, each may come again a
	// few times on a bad path, and more than one before the node answers.
	handshakeBurst, handshakeRate = 128, 4
)

// Handshakes bounds the DTLS records of a client that are no data: handshakes, changes of
// cipher, alerts. The library behind it keeps whole messages for as long as the connection
// lasts, up to two megabytes of pieces of others, and answers each with its last flight,
// even of those in clear text, which anybody can write. It is not safe for concurrent use.
type Handshakes struct {
	spent bucket
	done  bool
}

// Done is told that neither side needs the other's handshake any more: then none passes,
// as nothing is negotiated twice.
func (h *Handshakes) Done() { h.done = true }

// Take reports whether a record goes on at now, in nanoseconds. alert tells that it is one:
// those end connections, and are never done with.
func (h *Handshakes) Take(alert bool, now int64) bool {
	return (alert || !h.done) && h.spent.pour(1, now, handshakeRate, handshakeBurst)
}
