package room

import "maille/proto/livekit"

// republish takes the data tracks that a resumed client says it publishes.
func (p *Participant) republish([]*livekit.PublishDataTrackResponse) {}
