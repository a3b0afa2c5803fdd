package linkbench

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"maille/mesh/identity"
	"maille/relay"
)

// childEnv carries the order of a process that is one end of a measurement of processor
// time: the bench starts its own executable twice, so that each end's time is its
// process's.
const childEnv = "MAILLE_LINKBENCH"

// childOrder is what a child does.
type childOrder struct {
	Role     string // senderName or receiverName
	Variant  string
	Case     string
	Load     Load
	Seed     uint64
	Certs    string // folder with a folder for each role
	To       string // the receiver's address, for the sender
	Warm     time.Duration
	Measured time.Duration
	Profile  string // folder for processor profiles, "" for none
}

// childReport is what a child found.
type childReport struct {
	Packets   int // sent or received in the measured time
	Used      usage
	Datagrams uint64 // of media sent meanwhile, with the packets in them
	InThem    uint64
	Bytes     int     // RTP bytes offered
	Delays    []int32 // microseconds, by the receiver
	Notes     string
}

// IsChild tells whether this process was started to be one.
func IsChild() bool { return os.Getenv(childEnv) != "" }

// Child does what the environment orders and returns the exit status. The receiver says
// its address on out first, and reports when in ends; the sender reports when it is done.
func Child(in io.Reader, out io.Writer) int {
	if err := child(in, out); err != nil {
		fmt.Fprintln(os.Stderr, "linkbench:", err)
		return 1
	}
	return 0
}

func child(in io.Reader, out io.Writer) error {
	var o childOrder
	if err := json.Unmarshal([]byte(os.Getenv(childEnv)), &o); err != nil {
		return err
	}
	if o.Role == feederName {
		return feed(o)
	}
	id, err := identity.LoadDir(filepath.Join(o.Certs, o.Role))
	if err != nil {
		return err
	}
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return err
	}
	defer conn.Close()
	e := Ends{Conn: conn, Identity: id, Load: o.Load}
	var rep childReport
	if o.Role == senderName {
		to, err := net.ResolveUDPAddr("udp4", o.To)
		if err != nil {
			return err
		}
		e.To = to
		if rep, err = childSends(o, e); err != nil {
			return err
		}
	} else if rep, err = childReceives(o, e, in, out); err != nil {
		return err
	}
	return json.NewEncoder(out).Encode(rep)
}

// childTail is how long the load goes on after the measured time.
const childTail = 300 * time.Millisecond

// length is how long the load is offered.
func (o childOrder) length() time.Duration { return o.Warm + o.Measured + childTail }

func childSends(o childOrder, e Ends) (childReport, error) {
	var rep childReport
	sender, err := OpenSender(o.Variant, e)
	if err != nil {
		return rep, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), o.Warm+o.Measured+20*time.Second)
	defer cancel()
	if err := sender.Ready(ctx); err != nil {
		return rep, err
	}
	if err := wait(ctx, settle); err != nil {
		return rep, err
	}
	var before, after Sent
	m := meter{profile: o.profile()}
	phase := Warming
	events := []event{
		{o.Warm, func() { phase, before = Measured, sender.Sent(); m.start() }},
		{o.Warm + o.Measured, func() { phase, rep.Used, after = Over, m.stop(), sender.Sent() }},
	}
	offer := func(p Offered, _ int64) {
		if phase == Measured {
			rep.Packets++
			rep.Bytes += p.Bytes
		}
		sender.Send(p, Mark{p.ID, time.Now().UnixNano(), phase})
	}
	if o.Load.Fed {
		err = fed(ctx, o, events, offer)
	} else {
		err = play(ctx, NewOffer(o.Seed, o.Load), relay.Now(), o.length(), events, offer)
	}
	if err != nil {
		return rep, err
	}
	rep.Notes = sender.Sent().Notes
	rep.Datagrams, rep.InThem = after.Datagrams-before.Datagrams, after.Packets-before.Packets
	return rep, sender.Close()
}

func childReceives(o childOrder, e Ends, in io.Reader, out io.Writer) (childReport, error) {
	var (
		mu                  sync.Mutex // guards what follows
		rep                 = childReport{Delays: make([]int32, 0, 1<<20)}
		meter               = meter{profile: o.profile()}
		measuring, finished bool
	)
	receiver, err := OpenReceiver(o.Variant, e, func(m Mark) {
		mu.Lock()
		defer mu.Unlock()
		switch m.Phase {
		case Measured:
			if !measuring {
				measuring = true
				meter.start()
			}
			rep.Packets++
			if len(rep.Delays) < cap(rep.Delays) {
				rep.Delays = append(rep.Delays, int32((time.Now().UnixNano()-m.At)/1000))
			}
		case Over:
			if measuring && !finished {
				finished, rep.Used = true, meter.stop()
			}
		}
	})
	if err != nil {
		return rep, err
	}
	fmt.Fprintln(out, e.Conn.LocalAddr())
	if _, err := io.Copy(io.Discard, in); err != nil {
		return rep, err
	}
	err = receiver.Close()
	mu.Lock()
	defer mu.Unlock()
	return rep, err
}
