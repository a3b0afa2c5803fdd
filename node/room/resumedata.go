package room

import "maille/proto/livekit"

// lastMessageSeq is the last reliable message that came from the client, which sends
// again what came after; 0 asks for nothing.
func (p *Participant) lastMessageSeq() uint32 { return 0 }

// replay sends again what reliable messages the client missed, by publisher.
func (p *Participant) replay([]*livekit.DataChannelReceiveState) {}

// republish takes the data tracks that a resumed client says it publishes.
func (p *Participant) republish([]*livekit.PublishDataTrackResponse) {}
