package linkbench

import (
	"context"
	"net"
	"syscall"
	"time"

	"maille/relay"
)

// feederName is the role of a process that sends packets as clients do.
const feederName = "feeder"

// feed sends the packets of a load to the ordered address, each when it is due. It sleeps
// outside the runtime, whose timers are no finer than a millisecond.
func feed(o childOrder) error {
	conn, err := net.Dial("udp4", o.To)
	if err != nil {
		return err
	}
	defer conn.Close()
	var buf [2048]byte
	offer, start := NewOffer(o.Seed, o.Load), time.Now()
	for {
		p, more := offer.Next()
		if !more || p.At >= o.length() {
			return nil
		}
		if d := p.At - time.Since(start); d > 0 {
			ts := syscall.NsecToTimespec(int64(d))
			_ = syscall.Nanosleep(&ts, nil)
		}
		if _, err := conn.Write(buf[:p.Bytes]); err != nil {
			return err
		}
	}
}

// feedPatience is how much longer than its load a feeder may take.
const feedPatience = 10 * time.Second

// fed is play with packets that a feeder sends: what comes is what is offered.
func fed(ctx context.Context, o childOrder, events []event, send func(Offered, int64)) error {
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetReadDeadline(time.Now().Add(o.length() + feedPatience)); err != nil {
		return err
	}
	o.Role, o.To = feederName, conn.LocalAddr().String()
	feeder, err := command(ctx, o)
	if err != nil {
		return err
	}
	if err := feeder.Start(); err != nil {
		return err
	}
	defer func() { _ = feeder.Wait() }()
	offer, start := NewOffer(o.Seed, o.Load), int64(0)
	var buf [2048]byte
	for {
		if _, _, err := conn.ReadFromUDPAddrPort(buf[:]); err != nil {
			return err
		}
		now := relay.Now()
		if start == 0 {
			start = now
		}
		for len(events) > 0 && now-start >= int64(events[0].at) {
			events[0].do()
			events = events[1:]
		}
		if now-start >= int64(o.length()-childTail/2) {
			return nil
		}
		if p, more := offer.Next(); more {
			send(p, now)
		}
	}
}
