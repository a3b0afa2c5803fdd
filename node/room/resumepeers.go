package room

import (
	"fmt"

	"maille/node/rtc"
	"maille/proto/livekit"
)

// resumePeers prepares the connections of a client that comes from another node.
func (p *Participant) resumePeers(s *livekit.SyncState) {
	up := rtc.Former{Channels: channelsOf(s, livekit.SignalTarget_PUBLISHER)}
	down := rtc.Former{
		Ours: s.GetOffer().GetSdp(), Theirs: s.GetAnswer().GetSdp(),
		Channels: channelsOf(s, livekit.SignalTarget_SUBSCRIBER),
	}
	if p.single() {
		up.Ours = s.GetAnswer().GetSdp()
	}
	p.work.do(func() {
		err := p.pub.Resume(up)
		if err == nil && !p.single() {
			if err = p.sub.Resume(down); err == nil {
				err = p.sub.Negotiate()
			}
		}
		if err != nil {
			p.negotiationFailed(fmt.Errorf("resume here: %w", err))
		}
	})
}

// channelsOf are the ids of the client's data channels on one of its connections.
func channelsOf(s *livekit.SyncState, target livekit.SignalTarget) map[rtc.Channel]uint16 {
	out := make(map[rtc.Channel]uint16)
	for _, c := range s.GetDataChannels() {
		for _, ch := range []rtc.Channel{rtc.Reliable, rtc.Lossy, rtc.DataTrack} {
			if c.Target == target && c.Label == ch.String() && c.Id <= maxChannelID {
				out[ch] = uint16(c.Id)
			}
		}
	}
	return out
}

// maxChannelID is the last stream of an SCTP association (RFC 8831, 6.6).
const maxChannelID = 65534
