package scenario

import (
	"context"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"maille/bench/client"
	"maille/node/auth"
	"maille/proto/livekit"
)

var update = flag.Bool("update", false, "write the golden files of this run")

// What two clients on two nodes are told, message by message, in a fixed script. A
// change here is a change of the protocol: review it as one.
func TestSignallingGoldens(t *testing.T) {
	bothForms(t, func(t *testing.T, single bool) {
		c := Start(t, 31, 20*time.Millisecond, "paris", "lyon")
		defer c.Close()
		c.Single = single
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
		defer cancel()
		g := newTranscript(t)
		yes := true
		join := func(entry, who string) *client.Client {
			cl := c.join(ctx, entry, entry, "", &auth.Claims{
				Identity: who, Name: strings.ToUpper(who[:1]) + who[1:], Metadata: who + " of " + entry,
				Video: &auth.Grants{RoomJoin: true, Room: "plan", CanUpdateOwnMetadata: &yes},
			}, client.Options{OnSignal: g.hears(who)})
			g.data(who, cl)
			return cl
		}
		must := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}

		ann := join("paris", "ann")
		g.step("ann joins in paris")
		bob := join("lyon", "bob")
		g.step("bob joins in lyon")

		// Silence, so that nobody becomes a speaker.
		voice, err := ann.PublishAudio(ctx, 127)
		must(err)
		g.step("ann publishes a microphone")
		camera, err := ann.PublishVideo(ctx, 3, 30, 1000)
		must(err)
		must(bob.WaitPackets(ctx, camera.Info.Sid, 30))
		g.step("ann publishes a camera in three sizes")

		must(ann.Mute(voice.Info.Sid, true))
		g.step("ann mutes the microphone")
		must(ann.Mute(voice.Info.Sid, false))
		g.step("ann unmutes the microphone")

		must(ann.Send(&livekit.SignalRequest{Message: &livekit.SignalRequest_UpdateMetadata{
			UpdateMetadata: &livekit.UpdateParticipantMetadata{
				RequestId: 7, Metadata: "busy", Name: "Ann B.", Attributes: map[string]string{"hand": "up"},
			},
		}}))
		g.step("ann changes name, metadata and an attribute")

		must(ann.OpenData(ctx))
		must(ann.SendData(true, []byte("hello")))
		must(ann.SendData(false, []byte("hello, perhaps")))
		must(ann.SendData(true, []byte("hello bob"), "bob"))
		g.step("ann sends data")

		must(bob.Subscribe(false, camera.Info.Sid))
		g.step("bob unsubscribes from the camera")
		must(bob.Subscribe(true, camera.Info.Sid))
		g.step("bob subscribes again")
		must(ann.Resume(ctx))
		g.step("ann resumes on another socket")

		must(bob.Close())
		g.step("bob leaves")
		must(ann.Close())
		g.step("ann leaves")

		name := "two-connections.golden"
		if single {
			name = "one-connection.golden"
		}
		path, got := filepath.Join("testdata", name), g.String()
		if *update {
			must(os.MkdirAll("testdata", 0o755))
			must(os.WriteFile(path, []byte(got), 0o644))
			return
		}
		want, err := os.ReadFile(path)
		must(err)
		if d := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(got, "\n")); d != "" {
			t.Errorf("the conversation changed; if it should, run the test with -update and review the diff of %s:\n%s", path, d)
		}
	})
}
