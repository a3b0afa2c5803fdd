package room

import (
	"log/slog"
	"testing"
	"testing/synctest"

	meshpb "maille/proto/mesh"
)

// News of links, nodes and placement waits for no room: the same goroutine brings it to all.
func TestNewsDoesNotWaitForARoomThatIsBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		record := &meshpb.Room{Name: "standup", Sid: "RM_1", Epoch: 1, Settings: new(meshpb.RoomSettings)}
		r := New(&alone{}, record, slog.New(slog.DiscardHandler))
		gate := make(chan struct{})
		r.post(func() { <-gate })
		synctest.Wait()
		for len(r.inbox) < cap(r.inbox) {
			r.post(func() {})
		}
		told := make(chan struct{})
		go func() {
			defer close(told)
			r.LinkUp("lyon")
			r.LinkDown("lyon")
			r.NodeGone("lyon")
			r.Place(&meshpb.Room{Name: "standup", Sid: "RM_1", Epoch: 1, Settings: &meshpb.RoomSettings{Metadata: "new"}})
		}()
		synctest.Wait()
		select {
		case <-told:
		default:
			t.Error("who brings news waits for the room")
		}
		close(gate)
		synctest.Wait()
		if got := r.record.GetSettings().GetMetadata(); got != "new" {
			t.Errorf("the room has the record %q, want the new one", got)
		}
		r.stop()
		<-r.done
	})
}
