// Package datapacket reads and writes what a node must of a client's data packet
// (livekit.DataPacket), and leaves the rest as it came.
//
// The node alone may say whom a packet is from and how it travels; whom it is for, the
// client says, in one of several places. Stamp does both in one pass over the encoded
// fields: what newer clients add arrives byte for byte, and what nobody could decode, or
// a client may not send, goes no further. Bytes in, bytes out: no room, no connection.
package datapacket
