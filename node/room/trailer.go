package room

import "crypto/sha256"

// trailerBytes is long enough that no encrypted frame ends so by chance.
const trailerBytes = 16

// sifTrailer is what a frame that the server makes up would end with, for encrypted
// rooms to tell it from a participant's (JoinResponse.sif_trailer). It follows from the
// room's sid, so that it is the same on every node of the room, for as long as the
// room lives and whoever restarts. It is no secret: every participant is told. This
// node makes up no frames; clients expect the trailer all the same.
func sifTrailer(sid string) []byte {
	sum := sha256.Sum256([]byte("maille sif trailer\x00" + sid))
	return sum[:trailerBytes]
}
