package track

import "maille/relay"

// Stats are a track's counters since it began.
type Stats struct {
	// Encodings holds a row per simulcast encoding; SVC and audio use only the first.
	Encodings [relay.MaxSpatial]EncodingStats
	// Sinks is how many sinks are attached now.
	Sinks int
	// Drops counts packets that went no further, by reason name.
	Drops map[string]uint64
}

// EncodingStats are the counters of one encoding.
type EncodingStats struct {
	Packets, Bytes uint64 // taken in, payload bytes, without duplicates
	Duplicates     uint64
	// Lost counts sequence numbers never seen, for whatever reason: behind a link they
	// include layers that were not asked for.
	Lost uint64
	// Keyframes counts keyframes, however many packets each of them had.
	Keyframes uint64
}

// Stats returns the counters.
func (t *Track) Stats() Stats {
	s := Stats{Sinks: len(*t.taps.Load()), Drops: t.drops.Snapshot()}
	for i := range t.encodings {
		e := &t.encodings[i]
		s.Encodings[i] = EncodingStats{
			Packets:    e.packets.Load(),
			Bytes:      e.bytes.Load(),
			Duplicates: e.duplicates.Load(),
			Lost:       e.lost(),
			Keyframes:  e.keyframes.Load(),
		}
	}
	return s
}
