// Package relay is the media plane's vocabulary: tracks, packets, where packets
// enter a node (Source) and where they leave it (Sink). Nothing here knows rooms,
// users, Raft or WebRTC. Numbers stay the publisher's on every hop; only the node
// that faces a subscriber rewrites them.
//
// # Walk of a packet
//
//  1. A socket receives it and SRTP opens it: node/rtc, the publisher.
//  2. packet.Parse reads it once, in a pooled buffer with a count of its users;
//     codec.Inspect marks keyframes, picture starts and layers from its clear bytes.
//  3. track.Push lets an audio track's gate (relay/audio) say whether it is among the
//     loudest of its room, stores it in the ring of its encoding, for repair and for
//     newcomers, and drops it if it came before.
//  4. Every Sink that wants its layer is given the same buffer, in turn.
//  5. A client's sink (node/rtc, the subscriber) lets layer decide whether it goes on
//     and rewrite give it this client's numbers, writes a header around the untouched
//     payload (packet.AppendHeader), and SRTP seals it for the socket.
//  6. A link's sink (relay/link) frames it with origin numbers (relay/wire) into a
//     datagram; on the far node relay/link makes a packet of it again, and the walk
//     goes on at 3.
//
// Feedback climbs the same steps: a subscriber's NACK is answered from the nearest
// ring (rewrite.Origin, track.Lookup) and only a miss climbs on (track.Resend);
// demand and keyframe requests of many become one at every track on the way, until a
// publisher's Source speaks to the client in RTCP.
//
// What goes on at 5 is bounded by what the client's path carries: each packet gets a
// number of the connection (relay/twcc), the client reports which of them came and
// when, relay/bwe makes of that what the path carries, and relay/allocate divides it
// among the videos. A layer that nobody gets is demanded of nobody. Once the path was
// found too narrow, video leaves no faster than it carries (the pacer of node/rtc):
// what waits does so here, where sound overtakes it and a keyframe makes it needless.
package relay
