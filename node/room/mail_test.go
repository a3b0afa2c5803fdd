package room

import (
	"log/slog"
	"net"
	"testing"

	"maille/node/rtc"
	linkpb "maille/proto/link"
	"maille/proto/livekit"
)

// A node that has not opened the room yet loses what it is sent. Once it has, and asks
// for a snapshot, it gets the data that the others sent it meanwhile, and all after that.
func TestDataSentBeforeTheOtherNodeOpenedTheRoom(t *testing.T) {
	udp, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	engine, err := rtc.NewEngine(rtc.Config{UDP: udp, HostIPs: []net.IP{net.IPv4(127, 0, 0, 1)}, AllowLoopback: true, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer engine.Close()
	l := newLand(t, engine)
	defer l.close()
	lose := func() {
		l.post.mu.Lock()
		clear(l.post.queues)
		l.post.mu.Unlock()
	}
	say := func(sequence uint32) {
		_ = l.rooms["lyon"].call(func() {
			l.rooms["lyon"].route(&linkpb.Data{Reliable: true, Sender: "eye-lyon", SenderSid: "PA_lyon", Sequence: sequence})
		})
	}
	// Paris has the room no more, and the others have not heard.
	record := l.rooms["paris"].Record()
	env := l.rooms["paris"].env
	l.rooms["paris"].Close(livekit.DisconnectReason_ROOM_CLOSED, livekit.LeaveRequest_DISCONNECT)
	lose()
	say(1)
	_ = l.rooms["lyon"].call(func() {})
	lose()
	l.rooms["paris"] = New(env, record, slog.New(slog.DiscardHandler))
	l.settle()
	say(2)
	l.settle()
	if err := l.rooms["paris"].call(func() {
		if got := l.rooms["paris"].recent.Last("PA_lyon"); got != 2 {
			t.Errorf("paris has the data up to %d, want 2", got)
		}
	}); err != nil {
		t.Fatal(err)
	}
}
