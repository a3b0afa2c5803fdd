package datapacket

import (
	"bytes"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	"maille/proto/livekit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var ann = Sender{Identity: "ann", Sid: "PA_ann"}

func encode(t testing.TB, p *livekit.DataPacket, more ...byte) []byte {
	t.Helper()
	b, err := proto.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	return append(b, more...)
}

func chunk() *livekit.DataPacket_StreamChunk {
	return &livekit.DataPacket_StreamChunk{StreamChunk: &livekit.DataStream_Chunk{StreamId: "s", ChunkIndex: 3, Content: []byte("abc")}}
}

func TestStampSaysWhoSent(t *testing.T) {
	user := func(u *livekit.UserPacket) *livekit.DataPacket_User { return &livekit.DataPacket_User{User: u} }
	hidden, agent := ann, ann
	hidden.Hidden, agent.Agent = true, true
	forged := &livekit.DataPacket{
		Kind: livekit.DataPacket_LOSSY, ParticipantIdentity: "eve", ParticipantSid: "PA_eve", Sequence: 7,
		DestinationIdentities: []string{"bob"},
		Value: user(&livekit.UserPacket{
			ParticipantIdentity: "eve", ParticipantSid: "PA_eve", Payload: []byte("hi"), Topic: new("t"), Id: new("1"), StartTime: new(uint64(5)),
		}),
	}
	said := &livekit.UserPacket{Payload: []byte("hi"), Topic: new("t"), Id: new("1"), StartTime: new(uint64(5))}
	for name, tt := range map[string]struct {
		from     Sender
		lossy    bool
		in, want *livekit.DataPacket
	}{
		"reliable": {ann, false, forged, &livekit.DataPacket{
			ParticipantIdentity: "ann", ParticipantSid: "PA_ann", Sequence: 7, DestinationIdentities: []string{"bob"},
			Value: user(&livekit.UserPacket{ParticipantIdentity: "ann", ParticipantSid: "PA_ann", Payload: said.Payload, Topic: said.Topic, Id: said.Id, StartTime: said.StartTime}),
		}},
		"lossy has no sequence": {ann, true, &livekit.DataPacket{Sequence: 7, Value: chunk()}, &livekit.DataPacket{
			Kind: livekit.DataPacket_LOSSY, ParticipantIdentity: "ann", ParticipantSid: "PA_ann", Value: chunk(),
		}},
		"hidden says nothing": {hidden, false, forged, &livekit.DataPacket{
			Sequence: 7, DestinationIdentities: []string{"bob"}, Value: user(said),
		}},
		"agent speaks for another": {agent, false, &livekit.DataPacket{ParticipantIdentity: "bob", ParticipantSid: "PA_bob", Value: chunk()}, &livekit.DataPacket{
			ParticipantIdentity: "bob", ParticipantSid: "PA_ann", Value: chunk(),
		}},
		"agent speaks for itself": {agent, false, &livekit.DataPacket{Value: chunk()}, &livekit.DataPacket{
			ParticipantIdentity: "ann", ParticipantSid: "PA_ann", Value: chunk(),
		}},
		"end-to-end encrypted": {
			ann, false,
			&livekit.DataPacket{ParticipantIdentity: "eve", Value: &livekit.DataPacket_EncryptedPacket{EncryptedPacket: &livekit.EncryptedPacket{Iv: []byte{1}, EncryptedValue: []byte{2}}}},
			&livekit.DataPacket{ParticipantIdentity: "ann", ParticipantSid: "PA_ann", Value: &livekit.DataPacket_EncryptedPacket{EncryptedPacket: &livekit.EncryptedPacket{Iv: []byte{1}, EncryptedValue: []byte{2}}}},
		},
	} {
		s, err := Stamp(encode(t, tt.in), tt.from, !tt.lossy)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		got := new(livekit.DataPacket)
		if err := proto.Unmarshal(s.Packet, got); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if diff := cmp.Diff(tt.want, got, protocmp.Transform()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// What a newer client adds, in the packet or in its value, arrives as it was.
func TestStampKeepsWhatItDoesNotKnow(t *testing.T) {
	extra := protowire.AppendTag(nil, 77, protowire.BytesType)
	extra = protowire.AppendString(extra, "from the future")
	user := protowire.AppendVarint(protowire.AppendTag(nil, 12, protowire.VarintType), 9)
	in := protowire.AppendTag(nil, dataUser, protowire.BytesType)
	in = append(protowire.AppendBytes(in, user), extra...)
	s, err := Stamp(in, ann, true)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(s.Packet, extra) || !bytes.Contains(s.Packet, user) {
		t.Errorf("%x lacks %x or %x", s.Packet, extra, user)
	}
	// A value that this node does not know at all.
	if s, err = Stamp(extra, ann, true); err != nil || !bytes.Contains(s.Packet, extra) {
		t.Errorf("unknown value: %x, %v", s.Packet, err)
	}
}

func TestStampRefuses(t *testing.T) {
	two := encode(t, &livekit.DataPacket{Value: chunk()})
	two = append(two, encode(t, &livekit.DataPacket{Value: &livekit.DataPacket_Speaker{Speaker: &livekit.ActiveSpeakerUpdate{}}})...)
	for name, tt := range map[string]struct {
		in   []byte
		from Sender
		want error
	}{
		"speakers":                    {encode(t, &livekit.DataPacket{Value: &livekit.DataPacket_Speaker{Speaker: &livekit.ActiveSpeakerUpdate{}}}), ann, ErrForbidden},
		"a transcription by a person": {encode(t, &livekit.DataPacket{Value: &livekit.DataPacket_Transcription{Transcription: &livekit.Transcription{TrackId: "TR_1"}}}), ann, ErrForbidden},
		"a transcription by an agent": {encode(t, &livekit.DataPacket{Value: &livekit.DataPacket_Transcription{Transcription: &livekit.Transcription{TrackId: "TR_1"}}}), Sender{Agent: true}, nil},
		"two values":                  {two, ann, ErrMalformed},
		"too large":                   {make([]byte, MaxBytes+1), ann, ErrSize},
		"torn":                        {[]byte{0x12, 9, 1}, ann, ErrMalformed},
		"text that is none":           {encode(t, &livekit.DataPacket{}, 0x2a, 1, 0xff), ann, ErrMalformed},
		"a number for an identity":    {[]byte{byte(dataIdentity) << 3, 1}, ann, ErrMalformed},
		"an empty packet":             {nil, ann, nil},
		"a letter to thousands":       {encode(t, &livekit.DataPacket{DestinationIdentities: make([]string, maxDestinations+1)}), ann, ErrSize},
	} {
		if _, err := Stamp(tt.in, tt.from, true); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", name, err, tt.want)
		}
	}
}

// Sids of people who left address nobody: not everyone.
func TestAddressesOfOlderClients(t *testing.T) {
	s, err := Stamp(encode(t, &livekit.DataPacket{Value: &livekit.DataPacket_User{User: &livekit.UserPacket{
		DestinationSids: []string{"PA_gone"}, DestinationIdentities: []string{"bob"},
	}}}), ann, true)
	if err != nil {
		t.Fatal(err)
	}
	if !s.Addressed || !cmp.Equal(s.Sids, []string{"PA_gone"}) || !cmp.Equal(s.Identities, []string{"bob"}) {
		t.Errorf("%+v", s)
	}
}

// Whatever a client sends, what goes on decodes, is from it, and is hardly larger.
func FuzzStamp(f *testing.F) {
	f.Add(encode(f, &livekit.DataPacket{Value: chunk(), DestinationIdentities: []string{"bob"}, Sequence: 3}), true, false)
	f.Add(encode(f, &livekit.DataPacket{Value: &livekit.DataPacket_User{User: &livekit.UserPacket{
		Payload: []byte("x"), ParticipantIdentity: "eve", DestinationSids: []string{"PA_1"},
	}}}), false, true)
	f.Add(encode(f, &livekit.DataPacket{Value: &livekit.DataPacket_Metrics{Metrics: &livekit.MetricsBatch{}}}), true, true)
	f.Add([]byte{0x12, 0x02, 0x3b, 0x3c}, true, false)
	f.Fuzz(func(t *testing.T, raw []byte, reliable, agent bool) {
		from := ann
		from.Agent = agent
		before := bytes.Clone(raw)
		s, err := Stamp(raw, from, reliable)
		if !bytes.Equal(raw, before) {
			t.Fatal("changed what was received")
		}
		if err != nil {
			return
		}
		p := new(livekit.DataPacket)
		if err := proto.Unmarshal(s.Packet, p); err != nil {
			t.Fatalf("%x made %x: %v", raw, s.Packet, err)
		}
		if p.ParticipantSid != "PA_ann" || !agent && p.ParticipantIdentity != "ann" {
			t.Fatalf("from %q %q", p.ParticipantIdentity, p.ParticipantSid)
		}
		if u := p.GetUser(); u != nil && (u.ParticipantIdentity != "ann" || u.ParticipantSid != "PA_ann") {
			t.Fatalf("user packet from %v", u)
		}
		if p.Sequence != s.Sequence || !reliable && p.Sequence != 0 || (p.Kind == livekit.DataPacket_LOSSY) == reliable {
			t.Fatalf("sequence %d, kind %v", p.Sequence, p.Kind)
		}
		if len(s.Packet) > len(raw)+64 {
			t.Fatalf("%d bytes made %d", len(raw), len(s.Packet))
		}
	})
}
