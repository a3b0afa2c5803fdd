// Package trackinfo is what is said of a track: its codecs and its layers, in the words of
// the client protocol (livekit.TrackInfo).
//
// A publisher announces a track (AddTrackRequest); New makes of it what the room is told,
// with the codecs that this client may send in place of those it must not. A subscriber
// says how large it shows a video, and how fast; Spatial and Temporal make of that the
// layers to send. What is said of a track as a whole is what is said of its first codec.
package trackinfo
