package scenario

import (
	"bytes"
	"compress/flate"
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	"maille/bench/client"
	"maille/node/auth"
	"maille/proto/livekit"
)

// cast is who takes part in a script of messages.
type cast struct {
	t      *testing.T
	ctx    context.Context
	people map[string]*client.Client
	sent   map[string]uint32
	want   map[string][]*livekit.DataPacket
}

// newCast puts ann, a transcriber and a watcher of metrics into paris, bob and cam into
// lyon.
func newCast(t *testing.T, ctx context.Context, c *Cluster) *cast {
	t.Helper()
	k := &cast{t: t, ctx: ctx, people: make(map[string]*client.Client), sent: make(map[string]uint32), want: make(map[string][]*livekit.DataPacket)}
	grant := func() *auth.Grants { return &auth.Grants{RoomJoin: true, Room: "standup"} }
	watcher := grant()
	watcher.CanSubscribeMetrics = new(true)
	for _, p := range []struct {
		node   string
		claims *auth.Claims
	}{
		{"paris", &auth.Claims{Identity: "ann", Video: grant()}},
		{"lyon", &auth.Claims{Identity: "bob", Video: grant()}},
		{"lyon", &auth.Claims{Identity: "cam", Video: grant()}},
		{"paris", &auth.Claims{Identity: "scribe", Kind: "agent", Video: grant()}},
		{"lyon", &auth.Claims{Identity: "watcher", Video: watcher}},
	} {
		cl := c.JoinAs(ctx, p.node, p.claims)
		if err := cl.OpenData(ctx); err != nil {
			t.Fatal(err)
		}
		k.people[p.claims.Identity] = cl
	}
	for who, cl := range k.people {
		if err := cl.Wait(ctx, "the others", func() bool { return len(cl.Participants()) == len(k.people)-1 }); err != nil {
			t.Fatalf("%s: %v", who, err)
		}
	}
	return k
}

func (k *cast) close() {
	for _, cl := range k.people {
		cl.Close()
	}
}

// say sends a packet that only some are to get; none given means everybody else.
func (k *cast) say(from string, p *livekit.DataPacket, to ...string) {
	k.t.Helper()
	if err := k.people[from].SendPacket(true, p); err != nil {
		k.t.Fatal(err)
	}
	k.sent[from]++
	want := proto.Clone(p).(*livekit.DataPacket)
	sid := k.people[from].Join().Participant.Sid
	want.ParticipantIdentity, want.ParticipantSid, want.Sequence = from, sid, k.sent[from]
	if p.ParticipantIdentity != "" {
		want.ParticipantIdentity = p.ParticipantIdentity // only agents may, see below
	}
	if u := want.GetUser(); u != nil {
		u.ParticipantIdentity, u.ParticipantSid = from, sid
	}
	for who := range k.people {
		if who != from && (slices.Contains(to, who) || len(to) == 0 && who != from) {
			k.want[who] = append(k.want[who], want)
		}
	}
}

// mute sends a packet that nobody is to get.
func (k *cast) mute(from string, p *livekit.DataPacket) {
	k.t.Helper()
	if err := k.people[from].SendPacket(true, p); err != nil {
		k.t.Fatal(err)
	}
	k.sent[from]++
}

// check compares what everyone got with what they should have, sender by sender.
func (k *cast) check() {
	k.t.Helper()
	for who, cl := range k.people {
		if err := cl.Wait(k.ctx, "messages", func() bool { return len(cl.Data()) >= len(k.want[who]) }); err != nil {
			k.t.Errorf("%s got %d of %d: %v", who, len(cl.Data()), len(k.want[who]), err)
		}
	}
	pass(time.Second)
	by := func(list []*livekit.DataPacket) map[string][]*livekit.DataPacket {
		out := make(map[string][]*livekit.DataPacket)
		for _, p := range list {
			out[p.ParticipantSid] = append(out[p.ParticipantSid], p)
		}
		return out
	}
	for who, cl := range k.people {
		if diff := cmp.Diff(by(k.want[who]), by(cl.Data()), protocmp.Transform()); diff != "" {
			k.t.Errorf("%s (-want +got):\n%s", who, diff)
		}
	}
}

func textHeader(id, topic string, attributes map[string]string, length int) *livekit.DataPacket {
	return &livekit.DataPacket{Value: &livekit.DataPacket_StreamHeader{StreamHeader: &livekit.DataStream_Header{
		StreamId: id, Timestamp: 1700000000000, Topic: topic, MimeType: "text/plain", TotalLength: new(uint64(length)), Attributes: attributes,
		ContentHeader: &livekit.DataStream_Header_TextHeader{TextHeader: &livekit.DataStream_TextHeader{OperationType: livekit.DataStream_CREATE}},
	}}}
}

func streamChunk(id string, i int, content []byte) *livekit.DataPacket {
	return &livekit.DataPacket{Value: &livekit.DataPacket_StreamChunk{StreamChunk: &livekit.DataStream_Chunk{StreamId: id, ChunkIndex: uint64(i), Content: content}}}
}

func streamTrailer(id string) *livekit.DataPacket {
	return &livekit.DataPacket{Value: &livekit.DataPacket_StreamTrailer{StreamTrailer: &livekit.DataStream_Trailer{StreamId: id}}}
}

// stream is a whole stream: header, chunks of 15,000 bytes, trailer.
func stream(header *livekit.DataPacket, content []byte, to ...string) []*livekit.DataPacket {
	id := header.GetStreamHeader().StreamId
	out := []*livekit.DataPacket{header}
	i := 0
	for part := range slices.Chunk(content, 15_000) {
		out = append(out, streamChunk(id, i, part))
		i++
	}
	out = append(out, streamTrailer(id))
	for _, p := range out {
		p.DestinationIdentities = to
	}
	return out
}

// Chat as Meet sends it, calls of either version, text and byte streams whole, inline
// and compressed, subtitles, encrypted packets: byte for byte, in order, to those they
// are for.
func TestEveryMessageArrivesAsItWasSent(t *testing.T) {
	t.Run("two connections", func(t *testing.T) { everyMessage(t, false) })
	t.Run("one connection", func(t *testing.T) { everyMessage(t, true) })
}

func everyMessage(t *testing.T, single bool) {
	synctest.Test(t, func(t *testing.T) {
		c := Start(t, 51, 20*time.Millisecond, "paris", "lyon")
		defer c.Close()
		c.Single = single
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		defer cancel()
		k := newCast(t, ctx, c)
		defer k.close()

		user := func(topic, payload string, to ...string) *livekit.DataPacket {
			u := &livekit.UserPacket{Payload: []byte(payload)}
			if topic != "" {
				u.Topic = &topic
			}
			return &livekit.DataPacket{DestinationIdentities: to, Value: &livekit.DataPacket_User{User: u}}
		}
		// Chat goes both ways, as a text stream and as the packet older clients read.
		for _, who := range []string{"ann", "bob"} {
			for _, p := range stream(textHeader("chat-"+who, "lk.chat", nil, 5), []byte("héllo")) {
				k.say(who, p)
			}
			k.say(who, user("lk-chat-topic", `{"id":"1","timestamp":1700000000000,"message":"héllo","ignoreLegacy":true}`))
			k.say(who, &livekit.DataPacket{Value: &livekit.DataPacket_ChatMessage{ChatMessage: &livekit.ChatMessage{Id: "1", Timestamp: 1700000000000, Message: "héllo"}}})
		}
		k.say("ann", user("", `{"type":"reaction","data":"👍"}`))
		k.say("bob", user("", `{"type":"lowerHand"}`, "ann"), "ann")

		// A file for one, a note inline, one compressed.
		file := bytes.Repeat([]byte("maille "), 20_000) // 140 kB
		header := &livekit.DataPacket{Value: &livekit.DataPacket_StreamHeader{StreamHeader: &livekit.DataStream_Header{
			StreamId: "file", Topic: "files", MimeType: "application/pdf", TotalLength: new(uint64(len(file))), Attributes: map[string]string{"a": "b"},
			ContentHeader: &livekit.DataStream_Header_ByteHeader{ByteHeader: &livekit.DataStream_ByteHeader{Name: "notes.pdf"}},
		}}}
		for _, p := range stream(header, file, "bob") {
			k.say("ann", p, "bob")
		}
		inline := textHeader("inline", "notes", nil, 5)
		inline.GetStreamHeader().InlineContent = []byte("short")
		k.say("ann", inline)
		var small bytes.Buffer
		w, _ := flate.NewWriter(&small, flate.BestCompression)
		w.Write(file)
		w.Close()
		packed := textHeader("packed", "notes", nil, len(file))
		packed.GetStreamHeader().Compression = livekit.DataStream_DEFLATE_RAW
		for _, p := range stream(packed, small.Bytes(), "bob", "cam") {
			k.say("ann", p, "bob", "cam")
		}

		// Calls, as packets and as streams; only those concerned see them.
		k.say("ann", &livekit.DataPacket{DestinationIdentities: []string{"bob"}, Value: &livekit.DataPacket_RpcRequest{RpcRequest: &livekit.RpcRequest{
			Id: "r1", Method: "greet", Payload: "{}", ResponseTimeoutMs: 10000, Version: 1,
		}}}, "bob")
		k.say("bob", &livekit.DataPacket{DestinationIdentities: []string{"ann"}, Value: &livekit.DataPacket_RpcAck{RpcAck: &livekit.RpcAck{RequestId: "r1"}}}, "ann")
		k.say("bob", &livekit.DataPacket{DestinationIdentities: []string{"ann"}, Value: &livekit.DataPacket_RpcResponse{RpcResponse: &livekit.RpcResponse{
			RequestId: "r1", Value: &livekit.RpcResponse_Error{Error: &livekit.RpcError{Code: 1500, Message: "no", Data: "d"}},
		}}}, "ann")
		call := textHeader("call", "lk.rpc_request", map[string]string{
			"lk.rpc_request_id": "r2", "lk.rpc_request_method": "greet", "lk.rpc_request_response_timeout_ms": "10000", "lk.rpc_request_version": "2",
		}, 2)
		for _, p := range stream(call, []byte("{}"), "cam") {
			k.say("ann", p, "cam")
		}
		for _, p := range stream(textHeader("answer", "lk.rpc_response", map[string]string{"lk.rpc_request_id": "r2"}, 2), []byte("ok"), "ann") {
			k.say("cam", p, "ann")
		}

		// Subtitles are for agents to say, for whoever spoke; metrics for who may see them.
		words := &livekit.DataPacket_Transcription{Transcription: &livekit.Transcription{
			TranscribedParticipantIdentity: "ann", TrackId: "TR_1", Segments: []*livekit.TranscriptionSegment{{Id: "1", Text: "bonjour", Final: true}},
		}}
		k.say("scribe", &livekit.DataPacket{ParticipantIdentity: "ann", Value: words})
		k.mute("ann", &livekit.DataPacket{Value: words})
		k.mute("ann", &livekit.DataPacket{Value: &livekit.DataPacket_Speaker{Speaker: &livekit.ActiveSpeakerUpdate{}}})
		k.say("ann", &livekit.DataPacket{Value: &livekit.DataPacket_Metrics{Metrics: &livekit.MetricsBatch{TimestampMs: 5}}}, "watcher")
		k.mute("ann", &livekit.DataPacket{DestinationIdentities: []string{"nobody"}, Value: words})

		k.say("ann", &livekit.DataPacket{Value: &livekit.DataPacket_SipDtmf{SipDtmf: &livekit.SipDTMF{Code: 5, Digit: "5"}}})
		k.say("cam", &livekit.DataPacket{DestinationIdentities: []string{"ann", "bob"}, Value: &livekit.DataPacket_EncryptedPacket{
			EncryptedPacket: &livekit.EncryptedPacket{EncryptionType: livekit.Encryption_GCM, Iv: []byte("123456789012"), KeyIndex: 3, EncryptedValue: []byte{0, 255, 1}},
		}}, "ann", "bob")
		k.check()
	})
}

// A packet sent twice, as clients do when they resume, arrives once.
func TestResentMessagesArriveOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := Start(t, 52, 20*time.Millisecond, "paris", "lyon")
		defer c.Close()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		ann := c.Join(ctx, "paris", "standup", "ann", "")
		defer ann.Close()
		bob := c.Join(ctx, "lyon", "standup", "bob", "")
		defer bob.Close()
		if err := ann.OpenData(ctx); err != nil {
			t.Fatal(err)
		}
		for _, seq := range []uint32{1, 2, 3, 2, 3, 4} {
			b, err := proto.Marshal(&livekit.DataPacket{Sequence: seq, DestinationIdentities: []string{"bob"}, Value: &livekit.DataPacket_User{User: &livekit.UserPacket{Payload: []byte{byte(seq)}}}})
			if err != nil {
				t.Fatal(err)
			}
			if err := ann.SendRaw("_reliable", b); err != nil {
				t.Fatal(err)
			}
		}
		if err := bob.Wait(ctx, "data", func() bool { return len(bob.Data()) >= 4 }); err != nil {
			t.Fatal(err)
		}
		pass(time.Second)
		var got []uint32
		for _, p := range bob.Data() {
			got = append(got, p.Sequence)
		}
		if !slices.Equal(got, []uint32{1, 2, 3, 4}) {
			t.Errorf("bob got %v", got)
		}
	})
}
