package room

import (
	"cmp"
	"maps"
	"slices"
	"time"

	linkpb "maille/proto/link"
	"maille/proto/livekit"
)

// How well clients are connected is judged by their own nodes every digestInterval,
// from what the room counts anyway, and told to everyone in the room (LiveKit's
// ConnectionQualityUpdate, at most every 5 s).
const (
	// judgeLeast is how many packets a direction must have carried for its losses to
	// count: of fewer, one lost packet would be a verdict.
	judgeLeast = 20
	// Shares of packets lost, after which speech is no longer what it was, and no longer
	// understood. Repairs hide the first from most, but cost them delay.
	lossGood, lossPoor = 0.02, 0.08
	// Round trips, after which people begin to interrupt each other (ITU-T G.114 puts it
	// at 150 ms one way), and after which they take turns.
	delayGood, delayPoor = 300 * time.Millisecond, 600 * time.Millisecond
	// Held video, with all else well, is what a good connection lacks.
	scoreBest, scoreWorst = 4.5, 1.0
)

// counted is what was known of one stream when it was last judged.
type counted struct{ packets, lost uint64 }

// since returns what has been added, and notes the new state. Counters that fell are of
// a stream that began anew.
func (c *counted) since(packets, lost uint64) (uint64, uint64) {
	old := *c
	*c = counted{packets, lost}
	if packets < old.packets || lost < old.lost {
		old = counted{}
	}
	return packets - old.packets, lost - old.lost
}

// strain is what a client's connection suffered in one interval.
type strain struct {
	packets, lost uint64 // in the direction that suffered most
	rtt           time.Duration
	held          bool // video is held back for lack of bandwidth
	cut           bool // no media passes
}

// with takes another direction or stream into account: the worst counts.
func (s *strain) with(packets, lost uint64) {
	if packets+lost < judgeLeast {
		return
	}
	if s.packets == 0 || lost*(s.packets+s.lost) > s.lost*(packets+lost) {
		s.packets, s.lost = packets, lost
	}
}

// verdict is the quality, and a score as a mean opinion from 1 to 5.
func (s strain) verdict() (livekit.ConnectionQuality, float32) {
	if s.cut {
		return livekit.ConnectionQuality_LOST, scoreWorst
	}
	loss := 0.0
	if s.packets > 0 {
		loss = float64(s.lost) / float64(s.packets+s.lost)
	}
	worst := max(loss/lossPoor, float64(s.rtt)/float64(delayPoor))
	score := float32(max(scoreWorst, scoreBest-2*worst))
	switch {
	case loss >= lossPoor || s.rtt >= delayPoor:
		return livekit.ConnectionQuality_POOR, score
	case loss >= lossGood || s.rtt >= delayGood || s.held:
		return livekit.ConnectionQuality_GOOD, min(score, 4)
	}
	return livekit.ConnectionQuality_EXCELLENT, score
}

// verdicts is what each node said of its own, and what clients were told. Owned by the
// room's loop.
type verdicts struct {
	nodes map[string]*linkpb.Qualities
	told  map[string]livekit.ConnectionQuality // by participant sid
}

func newVerdicts() *verdicts {
	return &verdicts{nodes: make(map[string]*linkpb.Qualities), told: make(map[string]livekit.ConnectionQuality)}
}

func (q *verdicts) forget(node string) { delete(q.nodes, node) }

// said replaces what a node said and returns all that counts now, and what of it is new.
func (q *verdicts) said(node string, s *linkpb.Qualities) (all, fresh []*livekit.ConnectionQualityInfo) {
	q.nodes[node] = s
	told := make(map[string]livekit.ConnectionQuality)
	for _, name := range slices.Sorted(maps.Keys(q.nodes)) {
		for _, v := range q.nodes[name].Qualities {
			info := &livekit.ConnectionQualityInfo{
				ParticipantSid: v.ParticipantSid, Quality: livekit.ConnectionQuality(v.Quality), Score: v.Score,
			}
			all = append(all, info)
			if old, known := q.told[info.ParticipantSid]; !known || old != info.Quality {
				fresh = append(fresh, info)
			}
			told[info.ParticipantSid] = info.Quality
		}
	}
	q.told = told
	return all, fresh
}

// judge looks at the connections of this node's participants and tells peers and clients.
func (r *Room) judge() {
	own := &linkpb.Qualities{}
	inOrder := slices.SortedFunc(maps.Values(r.local), func(a, b *Participant) int { return cmp.Compare(a.joinedNS, b.joinedNS) })
	for _, p := range inOrder {
		if p.hidden() || !p.active() {
			continue
		}
		quality, score := p.strain().verdict()
		own.Qualities = append(own.Qualities, &linkpb.Qualities_Quality{ParticipantSid: p.info.Sid, Quality: int32(quality), Score: score})
	}
	r.tellAll(func() *linkpb.RoomMessage {
		return &linkpb.RoomMessage{Body: &linkpb.RoomMessage_Qualities{Qualities: own}}
	})
	r.judged(r.env.Self(), own)
}

// judged tells clients what changed, and those who came since everything.
func (r *Room) judged(node string, said *linkpb.Qualities) {
	all, fresh := r.verdicts.said(node, said)
	for _, p := range r.local {
		if p.conn == nil {
			p.judged = false // it hears everything anew when it resumes
			continue
		}
		tell := fresh
		if !p.judged {
			tell = all
		}
		if len(tell) == 0 {
			continue
		}
		p.judged = true
		p.write(&livekit.SignalResponse{Message: &livekit.SignalResponse_ConnectionQuality{
			ConnectionQuality: &livekit.ConnectionQualityUpdate{Updates: tell},
		}})
	}
}

// strain gathers what the client's connection suffered since it was last asked.
func (p *Participant) strain() strain {
	s := strain{cut: !p.connected}
	for _, pub := range p.published {
		if pub.track == nil || pub.info.Muted {
			continue
		}
		var packets, lost uint64
		for _, e := range pub.track.Stats().Encodings {
			packets, lost = packets+e.Packets, lost+e.Lost
		}
		s.with(pub.counted.since(packets, lost))
	}
	for _, sub := range p.subs {
		if sub.sub == nil {
			continue
		}
		s.held = s.held || sub.held
		packets, report := sub.sub.Report()
		if report == nil {
			continue
		}
		s.rtt = max(s.rtt, time.Duration(report.RTT))
		sent, _ := sub.counted.since(packets, 0)
		lost := sent * uint64(report.Fraction) / 256
		s.with(sent-lost, lost)
	}
	return s
}
