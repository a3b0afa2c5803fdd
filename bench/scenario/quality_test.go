package scenario

import (
	"context"
	"sync"
	"testing"
	"time"

	"maille/bench/client"
	"maille/proto/livekit"
)

// judged keeps what a client was last told of how each is connected.
type judged struct {
	mu  sync.Mutex // guards all below
	sid map[string]livekit.ConnectionQuality
}

func (j *judged) see(m *livekit.SignalResponse) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, u := range m.GetConnectionQuality().GetUpdates() {
		j.sid[u.ParticipantSid] = u.Quality
	}
}

func (j *judged) of(sid string) (livekit.ConnectionQuality, bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	q, ok := j.sid[sid]
	return q, ok
}

// Everyone is told how everyone is connected, wherever they are, the latecomer too.
func TestConnectionQualityReachesEveryone(t *testing.T) {
	bothForms(t, func(t *testing.T, single bool) {
		c := Start(t, 31, 20*time.Millisecond, "paris", "lyon")
		defer c.Close()
		c.Single = single
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		told := map[string]*judged{}
		people := map[string]*client.Client{}
		for _, name := range []string{"paris", "lyon", "late"} {
			j := &judged{sid: make(map[string]livekit.ConnectionQuality)}
			entry := name
			if name == "late" {
				pass(20 * time.Second) // all was said long ago
				entry = "lyon"
			}
			cl := c.JoinWith(ctx, entry, "standup", name, client.Options{OnSignal: j.see})
			defer cl.Close()
			people[name], told[name] = cl, j
			if _, err := cl.PublishAudio(ctx, 20); err != nil {
				t.Fatal(err)
			}
		}
		for name, cl := range people {
			for other := range people {
				sid := cl.Join().Participant.Sid
				if other != name {
					sid = cl.Participants()[other].Sid
				}
				within, done := context.WithTimeout(ctx, 12*time.Second)
				err := cl.Wait(within, "news of how "+other+" is connected", func() bool { _, ok := told[name].of(sid); return ok })
				done()
				if err != nil {
					t.Errorf("%s: %v", name, err)
				}
				if q, _ := told[name].of(sid); q != livekit.ConnectionQuality_EXCELLENT {
					t.Errorf("%s is told that %s is connected %v, want EXCELLENT", name, other, q)
				}
			}
		}
	})
}
