package room

import (
	"google.golang.org/protobuf/proto"

	"maille/node/rtc"
	"maille/proto/livekit"
	"maille/relay"
)

// TrackInfo says which RTP stream each layer of a track is, so that another node can go
// on with them: the client names them only at their beginning.

// noteStreams writes what came of a participant's video into its TrackInfos.
func (r *Room) noteStreams(p *Participant) {
	if !canMove(p.join.Client) {
		return
	}
	changed := false
	for sid, pub := range p.published {
		if pub.info.Type != livekit.TrackType_VIDEO {
			continue
		}
		for i, c := range pub.info.Codecs {
			id := sid
			if i > 0 {
				id = codecID(string(sid), c.MimeType)
			}
			if noteLayers(c, p.pub.Streams(id)) {
				changed = true
			}
		}
		pub.info.Layers = pub.info.Codecs[0].Layers
	}
	if changed {
		r.changed(p)
	}
}

// noteLayers reports whether it changed anything. Codecs may share their layers: what
// is written is a copy.
func noteLayers(c *livekit.SimulcastCodecInfo, streams [relay.MaxSpatial]rtc.Stream) bool {
	changed := false
	layers := make([]*livekit.VideoLayer, len(c.Layers))
	for i, l := range c.Layers {
		layers[i] = l
		if i >= len(streams) || streams[i].SSRC == 0 || streams[i].Rid == "" {
			continue
		}
		s := streams[i]
		if s.Repair == 0 && l.Ssrc == s.SSRC {
			continue // not known yet
		}
		if l.Ssrc != s.SSRC || l.RepairSsrc != s.Repair || l.Rid != s.Rid {
			layers[i], changed = proto.Clone(l).(*livekit.VideoLayer), true
			layers[i].Ssrc, layers[i].RepairSsrc, layers[i].Rid = s.SSRC, s.Repair, s.Rid
		}
	}
	if changed {
		c.Layers = layers
	}
	return changed
}

// labelStreams tells the streams of a track that was taken over.
func (p *Participant) labelStreams(info *livekit.TrackInfo) {
	for _, c := range info.Codecs {
		var streams []rtc.Stream
		for _, l := range c.Layers {
			streams = append(streams, rtc.Stream{Rid: l.Rid, SSRC: l.Ssrc, Repair: l.RepairSsrc})
		}
		p.pub.Label(c.Mid, streams)
	}
}
