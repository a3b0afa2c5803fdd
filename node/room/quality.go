package room

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"maille/node/room/quality"
	linkpb "maille/proto/link"
	"maille/proto/livekit"
)

// judge looks at the connections of this node's participants and tells peers and clients,
// every digestInterval (LiveKit's ConnectionQualityUpdate, at most every 5 s).
func (r *Room) judge() {
	own := &linkpb.Qualities{}
	inOrder := slices.SortedFunc(maps.Values(r.local), func(a, b *Participant) int { return cmp.Compare(a.joinedNS, b.joinedNS) })
	for _, p := range inOrder {
		if p.hidden() || !p.active() {
			continue
		}
		verdict, score := p.strain().Verdict()
		own.Qualities = append(own.Qualities, &linkpb.Qualities_Quality{ParticipantSid: p.info.Sid, Quality: int32(verdict), Score: score})
	}
	r.tellAll(func() *linkpb.RoomMessage {
		return &linkpb.RoomMessage{Body: &linkpb.RoomMessage_Qualities{Qualities: own}}
	})
	r.judged(r.env.Self(), own)
}

// judged tells clients what changed, and those who came since everything.
func (r *Room) judged(node string, said *linkpb.Qualities) {
	all, fresh := r.verdicts.Said(node, said)
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
func (p *Participant) strain() quality.Strain {
	s := quality.Strain{Cut: !p.connected || p.failing}
	for _, pub := range p.published {
		if pub.track == nil || pub.info.Muted {
			continue
		}
		var packets, lost uint64
		for _, e := range pub.track.Stats().Encodings {
			packets, lost = packets+e.Packets, lost+e.Lost
		}
		s.With(pub.counted.Since(packets, lost))
	}
	for _, sub := range p.subs {
		if sub.sub == nil {
			continue
		}
		s.Held = s.Held || sub.held
		packets, report := sub.sub.Report()
		if report == nil {
			continue
		}
		s.RTT = max(s.RTT, time.Duration(report.RTT))
		sent, _ := sub.counted.Since(packets, 0)
		lost := sent * uint64(report.Fraction) / 256
		s.With(sent-lost, lost)
	}
	return s
}
