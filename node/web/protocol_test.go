package web

import (
	"encoding/base64"
	"encoding/json"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"maille/proto/livekit"
)

// TestMessageTables compares every field that the page declares with the node's own.
func TestMessageTables(t *testing.T) {
	source, err := files.ReadFile("page/messages.js")
	if err != nil {
		t.Fatal(err)
	}
	table := regexp.MustCompile("(?s)message\\(\"([\\w.]+)\", [\"`](.*?)[\"`]\\)")
	kinds := map[string]string{
		"string": "string", "bytes": "bytes", "bool": "bool", "float": "float",
		"int32": "int", "int64": "int", "uint32": "int", "uint64": "int", "enum": "int",
	}
	all := table.FindAllStringSubmatch(string(source), -1)
	if len(all) < 40 {
		t.Fatalf("found %d tables", len(all))
	}
	for _, m := range all {
		desc := find(m[1])
		if desc == nil {
			t.Errorf("no message %s", m[1])
			continue
		}
		for _, line := range strings.Split(m[2], ";") {
			words := strings.Fields(line)
			number, err := strconv.Atoi(words[0])
			if err != nil || len(words) != 3 {
				t.Errorf("%s: %q", m[1], line)
				continue
			}
			f := desc.Fields().ByNumber(protoreflect.FieldNumber(number))
			if f == nil {
				t.Errorf("%s has no field %d", m[1], number)
				continue
			}
			want := kinds[f.Kind().String()]
			switch {
			case f.IsMap():
				want = "map"
			case f.Message() != nil:
				want = strings.TrimPrefix(string(f.Message().FullName()), "livekit.")
			}
			if f.IsList() {
				want = "[]" + want
			}
			got := words[2]
			if optional := f.HasPresence() && f.ContainingOneof() != nil; optional || strings.HasPrefix(got, "?") {
				want = "?" + want
			}
			if words[1] != f.JSONName() || got != want {
				t.Errorf("%s field %d is %s %s, the page says %s %s", m[1], number, f.JSONName(), want, words[1], got)
			}
		}
	}
}

func find(name string) protoreflect.MessageDescriptor {
	for _, file := range []protoreflect.FileDescriptor{
		livekit.File_livekit_livekit_rtc_proto, livekit.File_livekit_livekit_models_proto, livekit.File_livekit_livekit_data_proto,
	} {
		outer, inner, nested := strings.Cut(name, ".")
		d := file.Messages().ByName(protoreflect.Name(outer))
		if d != nil && nested {
			d = d.Messages().ByName(protoreflect.Name(inner))
		}
		if d != nil {
			return d
		}
	}
	return nil
}

// node runs a module of the page's tests with the given input, and decodes what it prints.
func node(t *testing.T, script string, input, output any) {
	t.Helper()
	path, err := exec.LookPath("node")
	if err != nil {
		t.Skip("node is not installed")
	}
	in, err := json.Marshal(input)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, "--input-type=module", "-e", script)
	cmd.Dir = "page"
	cmd.Stdin = strings.NewReader(string(in))
	out, err := cmd.Output()
	if err != nil {
		stderr := ""
		if e, ok := err.(*exec.ExitError); ok {
			stderr = string(e.Stderr)
		}
		t.Fatalf("%v\n%s", err, stderr)
	}
	if err := json.Unmarshal(out, output); err != nil {
		t.Fatalf("%v in %s", err, out)
	}
}

// TestCodecAgainstOurs sends messages through the page's codec and back: bytes that the
// node made must read the same there and come back with the same meaning.
func TestCodecAgainstOurs(t *testing.T) {
	samples := []struct {
		name string
		m    proto.Message
	}{
		{"SignalResponse", &livekit.SignalResponse{Message: &livekit.SignalResponse_Join{Join: &livekit.JoinResponse{
			Room:              &livekit.Room{Sid: "RM_x", Name: "réunion"},
			Participant:       &livekit.ParticipantInfo{Sid: "PA_1", Identity: "ada", Attributes: map[string]string{"maille.node": "paris-1", "": "é"}, Region: "paris", Version: 1 << 31},
			OtherParticipants: []*livekit.ParticipantInfo{{Sid: "PA_2", State: livekit.ParticipantInfo_ACTIVE, Tracks: []*livekit.TrackInfo{{Sid: "TR_a", Muted: true, Source: livekit.TrackSource_SCREEN_SHARE}, {}}}},
			IceServers:        []*livekit.ICEServer{{Urls: []string{"turn:a", "turn:b"}, Username: "u", Credential: "c"}},
			PingTimeout:       15, PingInterval: 5,
		}}}},
		{"SignalResponse", &livekit.SignalResponse{Message: &livekit.SignalResponse_RefreshToken{RefreshToken: strings.Repeat("t", 70000)}}},
		{"SignalResponse", &livekit.SignalResponse{Message: &livekit.SignalResponse_PongResp{PongResp: &livekit.Pong{LastPingTimestamp: 1<<53 - 1, Timestamp: 1790000000000}}}},
		{"SignalResponse", &livekit.SignalResponse{Message: &livekit.SignalResponse_SpeakersChanged{SpeakersChanged: &livekit.SpeakersChanged{Speakers: []*livekit.SpeakerInfo{{Sid: "PA", Level: 0.625, Active: true}}}}}},
		{"SignalRequest", &livekit.SignalRequest{Message: &livekit.SignalRequest_Ping{Ping: 0}}},
		{"ParticipantPermission", &livekit.ParticipantPermission{CanPublish: true, CanPublishSources: []livekit.TrackSource{1, 2, 4}}},
		{"DataPacket", &livekit.DataPacket{Sequence: 7, Value: &livekit.DataPacket_StreamChunk{StreamChunk: &livekit.DataStream_Chunk{StreamId: "s", ChunkIndex: 1 << 40, Content: []byte{0, 255, 128}}}}},
		{"DataPacket", &livekit.DataPacket{DestinationIdentities: []string{"", "b"}, Value: &livekit.DataPacket_User{User: &livekit.UserPacket{Payload: []byte("x"), Topic: new("")}}}},
	}
	type sample struct{ Name, Bytes string }
	var in, out []sample
	for _, s := range samples {
		b, err := proto.Marshal(s.m)
		if err != nil {
			t.Fatal(err)
		}
		in = append(in, sample{s.name, base64.StdEncoding.EncodeToString(b)})
	}
	node(t, `
		import { readFileSync } from "node:fs";
		import { encode, decode } from "./proto.js";
		import "./messages.js";
		const samples = JSON.parse(readFileSync(0, "utf8"));
		process.stdout.write(JSON.stringify(samples.map(({ Name, Bytes }) => ({
			Name, Bytes: Buffer.from(encode(Name, decode(Name, Buffer.from(Bytes, "base64")))).toString("base64"),
		}))));`, in, &out)
	for i, s := range samples {
		b, err := base64.StdEncoding.DecodeString(out[i].Bytes)
		if err != nil {
			t.Fatal(err)
		}
		got := s.m.ProtoReflect().New().Interface()
		if err := proto.Unmarshal(b, got); err != nil {
			t.Errorf("%s: %v", s.name, err)
		} else if !proto.Equal(got, s.m) {
			t.Errorf("%s came back as %s", s.name, protojson.Format(got))
		}
	}
}
