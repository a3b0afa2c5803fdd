package node

import (
	"errors"
	"strings"
	"testing"

	"google.golang.org/grpc"

	"maille/node/signal"
	"maille/proto/livekit"
	meshpb "maille/proto/mesh"
)

// stalled is a stream to an entry node that takes nothing more.
type stalled struct {
	grpc.BidiStreamingServer[meshpb.Frame, meshpb.Frame]
	gate chan struct{}
}

func (s stalled) Send(*meshpb.Frame) error {
	<-s.gate
	return errors.New("the entry node is gone")
}

// What waits for a client of another node is bounded, by number and by size.
func TestProxyQueueIsBounded(t *testing.T) {
	for _, test := range []struct{ size, least, most int }{
		{100, proxyQueue, proxyQueue + 1}, // one may be in Send
		{1 << 20, proxyQueueBytes>>20 - 1, proxyQueueBytes>>20 + 1},
		{proxyQueueBytes + 1, 1, 2},
	} {
		s := stalled{gate: make(chan struct{})}
		c := newStreamConn(s)
		m := &livekit.SignalResponse{Message: &livekit.SignalResponse_RefreshToken{RefreshToken: strings.Repeat("x", test.size)}}
		n, err := 0, error(nil)
		for ; err == nil && n < 10*proxyQueue; n++ {
			err = c.Write(m)
		}
		if n--; n < test.least || n > test.most || !errors.Is(err, signal.ErrSlow) {
			t.Errorf("%d of %d bytes wait, want %d to %d: %v", n, test.size, test.least, test.most, err)
		}
		if err := c.Write(m); !errors.Is(err, signal.ErrClosed) {
			t.Errorf("then: %v", err)
		}
		close(s.gate)
		<-c.drained
	}
}
