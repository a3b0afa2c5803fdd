package linkbench

import (
	"container/heap"
	"fmt"
	"math/rand/v2"
	"time"

	"maille/relay"
)

// Load is what is offered to the path.
type Load struct {
	// Videos is how many tracks of three simulcast encodings, each 2,504 / 8 packets of
	// VideoBytes a second: eight of them are 24 Mbit/s.
	Videos, VideoBytes int
	// Audios is how many tracks of 50 packets of AudioBytes a second.
	Audios, AudioBytes int
	// Tick, if not 0, gathers what comes within it at its end, as a loop that reads a busy
	// socket finds several packets at once.
	Tick time.Duration
	// Fed, on loopback, lets another process send the packets to the sender's process, each
	// when its camera or microphone does, as clients do to a node.
	Fed bool
	// Ramp is the time over which the tracks begin, one after the other.
	Ramp time.Duration
}

// Meeting is the load of the grid: 24 Mbit/s of full packets and three speakers.
var Meeting = Load{Videos: 8, VideoBytes: 1198, Audios: 3, AudioBytes: 120}

// encodings are the packets a second of each simulcast encoding, the smallest picture
// first: 240, 719 and 2,041 kbit/s in full packets.
var encodings = [relay.MaxSpatial]int{25, 75, 213}

const (
	// A camera's pictures come 25 times a second, each at once and in all encodings: the
	// hardest shape a sender gives them.
	pictures = 40 * time.Millisecond
	frames   = 20 * time.Millisecond // of audio
)

// PacketsPerSecond is the sum over all tracks.
func (l Load) PacketsPerSecond() int {
	sum := 0
	for _, pps := range encodings {
		sum += pps
	}
	return sum*l.Videos + 50*l.Audios
}

// Bitrate is the bits a second of all RTP packets.
func (l Load) Bitrate() float64 {
	return float64(8 * ((l.PacketsPerSecond()-50*l.Audios)*l.VideoBytes + 50*l.Audios*l.AudioBytes))
}

// Track names the i-th of the load's tracks; videos come first.
func (l Load) Track(i int) relay.TrackID {
	if i < l.Videos {
		return relay.TrackID(fmt.Sprintf("TR_video_%d", i))
	}
	return relay.TrackID(fmt.Sprintf("TR_audio_%d", i-l.Videos))
}

// Kind of the i-th track.
func (l Load) Kind(i int) relay.Kind {
	if i < l.Videos {
		return relay.Video
	}
	return relay.Audio
}

// Tracks is how many there are.
func (l Load) Tracks() int { return l.Videos + l.Audios }

// Offered is one packet of the load.
type Offered struct {
	// ID counts the packets of the load from 0.
	ID int
	// At is when it is sent, from the beginning.
	At    time.Duration
	Track int
	Video bool
	// Encoding is the simulcast encoding, Temporal the layer of every second picture.
	Encoding, Temporal uint8
	// Bytes is the size of the RTP packet.
	Bytes     int
	Seq       uint16
	Timestamp uint32
	// First and Last packet of a picture; every audio packet is both.
	First, Last bool
}

// Offer yields the packets of a load in the order they are sent. It is pure: the same
// seed and load give the same packets.
type Offer struct {
	load    Load
	sources sources
	ready   []Offered
	id      int
}

// source is a camera or a microphone.
type source struct {
	track int
	next  time.Duration
	turn  int
	seq   [relay.MaxSpatial]uint16
}

type sources []*source

func (s sources) Len() int { return len(s) }
func (s sources) Less(i, k int) bool {
	return s[i].next < s[k].next || s[i].next == s[k].next && s[i].track < s[k].track
}
func (s sources) Swap(i, k int) { s[i], s[k] = s[k], s[i] }
func (s *sources) Push(x any)   { *s = append(*s, x.(*source)) }
func (s *sources) Pop() any {
	old := *s
	x := old[len(old)-1]
	*s = old[:len(old)-1]
	return x
}

// NewOffer begins a load; cameras and microphones run at random phases.
func NewOffer(seed uint64, load Load) *Offer {
	rng := rand.New(rand.NewPCG(seed, 0x6d61696c6c65))
	o := &Offer{load: load}
	for i := range load.Tracks() {
		period := pictures
		if load.Kind(i) == relay.Audio {
			period = frames
		}
		src := &source{track: i, next: time.Duration(rng.Int64N(int64(period)))}
		src.next += load.Ramp * time.Duration(i) / time.Duration(load.Tracks())
		for enc := range src.seq {
			src.seq[enc] = uint16(rng.IntN(1 << 16))
		}
		o.sources = append(o.sources, src)
	}
	heap.Init(&o.sources)
	return o
}

// Next is the next packet; there is no last one. A load without tracks has none.
func (o *Offer) Next() (Offered, bool) {
	for len(o.ready) == 0 {
		if len(o.sources) == 0 {
			return Offered{}, false
		}
		o.tick(o.sources[0])
		heap.Fix(&o.sources, 0)
	}
	p := o.ready[0]
	o.ready = o.ready[1:]
	if tick := o.load.Tick; tick > 0 {
		p.At = (p.At + tick - 1) / tick * tick
	}
	p.ID = o.id
	o.id++
	return p, true
}

// tick makes the packets of one picture or audio frame.
func (o *Offer) tick(s *source) {
	at, k := s.next, s.turn
	s.turn++
	o.ready = o.ready[:0]
	if o.load.Kind(s.track) == relay.Audio {
		s.next += frames
		o.ready = append(o.ready, Offered{
			At: at, Track: s.track, Bytes: o.load.AudioBytes,
			Seq: s.seq[0], Timestamp: uint32(k) * 960, First: true, Last: true,
		})
		s.seq[0]++
		return
	}
	s.next += pictures
	const rate = int(time.Second / pictures)
	for enc, pps := range encodings {
		n := pps*(k+1)/rate - pps*k/rate
		for i := range n {
			o.ready = append(o.ready, Offered{
				At: at, Track: s.track, Video: true, Encoding: uint8(enc), Temporal: uint8(k % 2),
				Bytes: o.load.VideoBytes, Seq: s.seq[enc], Timestamp: uint32(k) * 3600,
				First: i == 0, Last: i == n-1,
			})
			s.seq[enc]++
		}
	}
}
