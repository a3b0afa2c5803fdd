package rtc

import (
	"time"

	"maille/relay"
	"maille/relay/codec"
)

const (
	// openAfter is how long a track may send nothing before its client is sent a packet to
	// hear of it by. Media that runs comes within a round trip to the publisher, or with
	// the next keyframe; a user does not miss the rest.
	openAfter = int64(750 * time.Millisecond)
	// openEvery is when the packet may be taken for lost: pion reports every second.
	openEvery = int64(1500 * time.Millisecond)
	// openTries bounds it for clients that report nothing.
	openTries = 5
)

// silence is 20 ms of opus without sound (RFC 6716 section 3.1: CELT, full band, one
// frame). Readers of audio take every payload for sound, and one of nothing for broken.
var silence = []byte{0xf8, 0xff, 0xfe}

// opening is what makes a client hear of a track that sends nothing.
type opening struct {
	due   int64 // 0 until the track could send
	tries int
}

// open sends a client that hears of tracks by their first packet one that plays nothing,
// until media or a report of the client comes: of video padding only (RFC 3550 section
// 5.1), of audio silence. Media follows it without a gap. The caller holds mu.
func (s *Subscriber) open(now int64) {
	b := s.bound.Load()
	if !s.peer.opening || b == nil || !s.started || s.ended || s.out.numbers.Started() || s.opening.tries == openTries {
		return
	}
	if s.opening.due == 0 {
		s.opening.due = now + openAfter
	}
	if h := s.heard.Load(); now < s.opening.due || h != nil && h.Highest != 0 { // see told
		return
	}
	s.opening.tries++
	s.opening.due = now + openEvery
	o, w := s.out.numbers.Pad(now), &s.writer
	s.newest = o.Seq
	w.head(&s.peer.path, b, nil, nil, o, false)
	payload := w.payload[:0]
	if s.out.codec == codec.Opus || s.out.codec == codec.RED {
		payload = append(append(payload, silence...), s.down.Trailer...)
	} else {
		w.header.Padding, w.header.PaddingSize = true, 1
	}
	s.note(b, len(payload)+int(w.header.PaddingSize), false)
	if _, err := b.writer.WriteRTP(&w.header, payload); err != nil {
		s.drops.Add(relay.DropSend)
	}
}
