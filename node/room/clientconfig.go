package room

import "maille/proto/livekit"

// clientConfiguration is what a kind of client is told to do differently; nil for
// nothing.
func clientConfiguration(*livekit.ClientInfo) *livekit.ClientConfiguration { return nil }
