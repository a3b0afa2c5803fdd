package rtc

import (
	"encoding/binary"
	"strings"
	"time"

	"github.com/pion/interceptor"
	"github.com/pion/interceptor/pkg/report"
	"github.com/pion/interceptor/pkg/twcc"
	"github.com/pion/rtcp"
	"github.com/pion/webrtc/v4"

	"maille/relay"
	"maille/relay/packet"
)

const (
	// askEvery is how often missing packets are looked at while there are any.
	askEvery  = 10 * time.Millisecond
	twccEvery = 100 * time.Millisecond
	// receiverReportEvery is how often the publisher hears of its loss (RFC 3550).
	receiverReportEvery = time.Second
)

// receiving registers what a publisher is answered with: transport-wide feedback for
// its bandwidth estimate and receiver reports; and the tap of retransmissions, last
// so that the others see those packets. They sit on the receiving connection only;
// nothing of the kind is in the way of sending.
func receiving(e *Engine, reg *interceptor.Registry) {
	r, err := report.NewReceiverInterceptor(report.ReceiverInterval(receiverReportEvery))
	must(err)
	t, err := twcc.NewSenderInterceptor(twcc.SendInterval(twccEvery))
	must(err)
	reg.Add(labelsFactory{e})
	reg.Add(r)
	reg.Add(t)
	reg.Add(repairsFactory{e})
}

// must holds for options that are constants of this file.
func must(err error) {
	if err != nil {
		panic(err)
	}
}

type repairsFactory struct{ engine *Engine }

func (f repairsFactory) NewInterceptor(id string) (interceptor.Interceptor, error) {
	return &repairs{engine: f.engine, id: id}, nil
}

// repairs takes retransmitted packets to their track as they come. pion would hand
// them out only when the next packet of the stream itself arrives.
type repairs struct {
	interceptor.NoOp
	engine *Engine
	id     string // pion's name of the connection
}

// BindRemoteStream is told of each new stream, declared or not.
func (i *repairs) BindRemoteStream(info *interceptor.StreamInfo, in interceptor.RTPReader) interceptor.RTPReader {
	if !strings.EqualFold(info.MimeType, webrtc.MimeTypeRTX) {
		return in
	}
	var of *reader
	return interceptor.RTPReaderFunc(func(b []byte, a interceptor.Attributes) (int, interceptor.Attributes, error) {
		n, a, err := in.Read(b, a)
		if err != nil || n == 0 {
			return n, a, err
		}
		if of == nil {
			of = i.engine.retransmitted(i.id, info.SSRC)
		}
		if of == nil {
			return n, a, nil // pion is still finding out what it is
		}
		of.repaired(b[:n])
		return 0, a, nil // taken; pion passes over empty reads
	})
}

// retransmitted finds whose retransmissions a stream is.
func (e *Engine) retransmitted(connection string, ssrc uint32) *reader {
	v, ok := e.byID.Load(connection)
	if !ok {
		return nil
	}
	p := v.(*Peer)
	p.mu.Lock()
	defer p.mu.Unlock()
	for r := range p.up.readers {
		if uint32(r.track.RtxSSRC()) == ssrc {
			return r
		}
	}
	return nil
}

// repaired turns a retransmission into the packet it repeats (RFC 4588 section 4).
func (r *reader) repaired(b []byte) {
	p := relay.NewPacket()
	n := copy(p.Buffer(), b)
	p.Arrived = r.now()
	if packet.Parse(p, n, r.terms.extensions) != nil {
		r.drop(p, relay.DropMalformed)
		return
	}
	if len(p.Payload) < originBytes {
		p.Release() // padding for a bandwidth probe
		return
	}
	p.Seq, p.SSRC, p.PayloadType = binary.BigEndian.Uint16(p.Payload), uint32(r.track.SSRC()), r.terms.pt
	p.Payload = p.Payload[originBytes:]
	r.take(p)
}

// askMissing asks the client for what is missing in its streams, while there is
// anything.
func (p *Peer) askMissing() {
	for {
		select {
		case <-p.done:
			return
		case <-p.up.gapped:
		}
		tick := time.NewTicker(askEvery)
		for more := true; more; {
			select {
			case <-p.done:
				tick.Stop()
				return
			case <-tick.C:
			}
			more = p.ask(p.engine.now())
		}
		tick.Stop()
	}
}

func (p *Peer) ask(now int64) (more bool) {
	p.mu.Lock()
	readers := make([]*reader, 0, len(p.up.readers))
	for r := range p.up.readers {
		readers = append(readers, r)
	}
	p.mu.Unlock()
	for _, r := range readers {
		r.mu.Lock()
		due, some := r.gaps.Due(now, nil)
		r.mu.Unlock()
		more = more || some
		if len(due) > 0 {
			r.pub.asked.Add(uint64(len(due)))
			p.feed(&rtcp.TransportLayerNack{MediaSSRC: uint32(r.track.SSRC()), Nacks: rtcp.NackPairsFromSequenceNumbers(due)})
		}
	}
	return more
}
