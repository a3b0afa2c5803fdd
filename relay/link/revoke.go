package link

import "maille/relay"

// Revoke ends every stream of a track towards the peer, as if the track had ended: the
// peer looks for another way to it. A node calls it when it has the track from
// elsewhere now and serving the peer could form a loop.
func (s *Session) Revoke(id relay.TrackID) {
	for _, o := range s.outs.all() {
		if o.ref.ID == id {
			o.Close()
		}
	}
}
