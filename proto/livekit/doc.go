// Package livekit holds the messages of the LiveKit client protocol and server API,
// with the field numbers and names that deployed clients use. The .proto files are our
// own; they are wire-compatible, not copied.
package livekit
