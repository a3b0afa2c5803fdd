package scenario

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"maille/bench/client"
	"maille/proto/livekit"
)

// What a participant leaves can be fetched from another region; what nobody left, or a
// node that is out of reach has, is answered too.
func TestBlobsAcrossNodes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := Start(t, 44, 20*time.Millisecond, "paris", "lyon")
		defer c.Close()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		said := make(chan *livekit.SignalResponse, 16)
		listen := client.Options{OnSignal: func(m *livekit.SignalResponse) {
			if m.GetStoreDataBlobResponse() != nil || m.GetGetDataBlobResponse() != nil || m.GetRequestResponse() != nil {
				said <- m
			}
		}}
		ann := c.JoinWith(ctx, "paris", "standup", "ann", listen)
		defer ann.Close()
		bob := c.JoinWith(ctx, "lyon", "standup", "bob", listen)
		defer bob.Close()
		if err := bob.Wait(ctx, "ann", func() bool { return len(bob.Participants()) == 1 }); err != nil {
			t.Fatal(err)
		}
		key := func(k string) *livekit.DataBlobKey {
			return &livekit.DataBlobKey{Key: &livekit.DataBlobKey_Generic{Generic: k}}
		}
		answer := func(cl *client.Client, m *livekit.SignalRequest) *livekit.SignalResponse {
			t.Helper()
			if err := cl.Send(m); err != nil {
				t.Fatal(err)
			}
			select {
			case a := <-said:
				return a
			case <-ctx.Done():
				t.Fatal("no answer")
				return nil
			}
		}
		get := func(id uint32, k string) *livekit.SignalResponse {
			return answer(bob, &livekit.SignalRequest{Message: &livekit.SignalRequest_GetDataBlobRequest{
				GetDataBlobRequest: &livekit.GetDataBlobRequest{RequestId: id, ParticipantIdentity: "ann", Key: key(k)},
			}})
		}
		a := answer(ann, &livekit.SignalRequest{Message: &livekit.SignalRequest_StoreDataBlobRequest{
			StoreDataBlobRequest: &livekit.StoreDataBlobRequest{RequestId: 1, Blob: &livekit.DataBlob{Key: key("schema"), Contents: []byte("abc")}},
		}})
		if a.GetStoreDataBlobResponse().GetRequestId() != 1 {
			t.Fatal(a)
		}
		if a := get(2, "schema").GetGetDataBlobResponse(); a.GetRequestId() != 2 || string(a.GetBlob().GetContents()) != "abc" || a.GetBlob().GetKey().GetGeneric() != "schema" {
			t.Errorf("got %v", a)
		}
		if a := get(3, "other").GetRequestResponse(); a.GetRequestId() != 3 || a.GetReason() != livekit.RequestResponse_NOT_FOUND {
			t.Errorf("got %v", a)
		}
		c.Net.Cut("paris", "lyon")
		pass(time.Second / 2)
		if a := get(4, "schema").GetRequestResponse(); a.GetRequestId() != 4 || a.GetReason() != livekit.RequestResponse_NOT_FOUND {
			t.Errorf("while out of reach: %v", a)
		}
	})
}
