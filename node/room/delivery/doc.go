// Package delivery is what it takes for reliable data to arrive once, in order, whatever
// becomes of the links between two nodes of a room.
//
// The sending node numbers its packets as parcels and keeps them in an Outbox until the
// receiver has them; when the way there changes it sends all again. The receiver's Inbox
// takes each parcel once, in its order, whatever ways they came, and says what it has. A
// Recent keeps the last seconds of all that arrived, for clients that come back on a new
// connection and missed some, and knows what is sent a second time. Everything is bounded
// in number, bytes and time; nothing here sends, waits or looks at a clock: the room's
// loop drives it.
package delivery
