package linkbench

import (
	"bytes"
	"encoding/json"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"maille/relay"
)

func take(o *Offer, until time.Duration) []Offered {
	var out []Offered
	for {
		p, ok := o.Next()
		if !ok || p.At >= until {
			return out
		}
		out = append(out, p)
	}
}

func TestOfferIsSeeded(t *testing.T) {
	a, b := take(NewOffer(1, Meeting), time.Second), take(NewOffer(1, Meeting), time.Second)
	if d := cmp.Diff(a, b); d != "" {
		t.Error("one seed, two loads:", d)
	}
	if cmp.Equal(a, take(NewOffer(2, Meeting), time.Second)) {
		t.Error("two seeds, one load")
	}
}

func TestOfferIsTheMeeting(t *testing.T) {
	const seconds = 10
	packets := take(NewOffer(3, Meeting), seconds*time.Second)
	type stream struct {
		track    int
		encoding uint8
	}
	var video, audio, bytes int
	next := make(map[stream]uint16)
	for i, p := range packets {
		if p.ID != i {
			t.Fatalf("packet %d has id %d", i, p.ID)
		}
		if i > 0 && p.At < packets[i-1].At {
			t.Fatalf("packet %d before the one before it", i)
		}
		s := stream{p.Track, p.Encoding}
		if want, ok := next[s]; ok && p.Seq != want {
			t.Fatalf("packet %d of %v has sequence %d, want %d", i, s, p.Seq, want)
		}
		next[s] = p.Seq + 1
		if p.Video {
			video++
			bytes += p.Bytes
		} else {
			audio++
		}
	}
	if audio != 150*seconds {
		t.Errorf("%d audio packets in %d s, want %d", audio, seconds, 150*seconds)
	}
	if got := float64(8*bytes) / seconds; got < 23.8e6 || got > 24.2e6 {
		t.Errorf("%.2f Mbit/s of video, want 24", got/1e6)
	}
	if len(next) != 8*relay.MaxSpatial+3 {
		t.Errorf("%d streams", len(next))
	}
	if got, want := video+audio, Meeting.PacketsPerSecond()*seconds; got < want-100 || got > want+100 {
		t.Errorf("%d packets, want %d", got, want)
	}
}

func TestOfferTickAndRamp(t *testing.T) {
	load := Load{Audios: 100, AudioBytes: 120, Tick: time.Millisecond, Ramp: time.Second}
	packets := take(NewOffer(1, load), 3*time.Second)
	begun := make(map[int]bool)
	for _, p := range packets {
		if p.At%time.Millisecond != 0 {
			t.Fatalf("packet at %v", p.At)
		}
		begun[p.Track] = true
		if p.At > 500*time.Millisecond && p.At < 510*time.Millisecond && (len(begun) < 40 || len(begun) > 60) {
			t.Fatalf("%d tracks half way up the ramp", len(begun))
		}
	}
	if len(begun) != 100 {
		t.Errorf("%d tracks began", len(begun))
	}
	if _, ok := NewOffer(1, Load{}).Next(); ok {
		t.Error("a load without tracks has packets")
	}
}

func TestDeadline(t *testing.T) {
	for _, c := range []struct{ rtt, want time.Duration }{
		{0, 20 * time.Millisecond},
		{100 * time.Millisecond, 220 * time.Millisecond}, // 50 + 150 + 20
		{300 * time.Millisecond, 620 * time.Millisecond},
	} {
		if got := Deadline(c.rtt); got != c.want {
			t.Errorf("round trip %v: %v, want %v", c.rtt, got, c.want)
		}
	}
}

func TestJudge(t *testing.T) {
	const rtt = 100 * time.Millisecond
	sample := func(video bool, enc uint8, sent, delay time.Duration) Sample {
		s := Sample{Sent: int64(sent), Video: video, Encoding: enc, Bytes: 100}
		if delay > 0 {
			s.Got = int64(sent + delay)
		}
		return s
	}
	at := func(n int) time.Duration { return time.Duration(n) * time.Millisecond }
	q := Judge([]Sample{
		sample(true, 0, at(500), at(50)),   // before the measured time
		sample(true, 0, at(1000), at(50)),  // at path delay
		sample(true, 0, at(1001), at(220)), // exactly in time
		sample(true, 2, at(1002), at(221)), // late
		sample(true, 2, at(1003), 0),       // lost
		sample(false, 0, at(1004), at(52)),
		sample(false, 0, at(1005), 0),
		sample(false, 0, at(2000), 0), // after it
	}, rtt, int64(at(1000)), int64(at(2000)))
	want := Quality{
		All: 3. / 6, Video: 2. / 4, Audio: 1. / 2, VideoGot: 3. / 4, AudioGot: 1. / 2,
		Layers: [3]float64{1, 1, 0}, // nothing was sent of the middle one
		P50:    at(2), P99: at(171), AudioP99: at(2), MediaBytes: 600,
	}
	if d := cmp.Diff(want, q); d != "" {
		t.Error(d)
	}
	if q := Judge(nil, rtt, 0, 1); q.All != 1 || q.P99 != 0 {
		t.Errorf("of nothing: %+v", q)
	}
}

func TestQuantile(t *testing.T) {
	var d []time.Duration
	for i := range 100 {
		d = append(d, time.Duration(100-i))
	}
	for q, want := range map[float64]time.Duration{0: 1, .5: 50, .99: 99, 1: 100} {
		if got := Quantile(d, q); got != want {
			t.Errorf("%g: %d, want %d", q, got, want)
		}
	}
}

func TestRestored(t *testing.T) {
	// 100 packets a second; from the second at which they come again, all do.
	load := func(seconds int, from time.Duration, also ...time.Duration) (out []Sample) {
		for i := range seconds * 100 {
			at := time.Second + time.Duration(i)*10*time.Millisecond
			s := Sample{Sent: int64(at), Video: true}
			since := at - time.Second
			if since >= from || slices.Contains(also, since.Truncate(100*time.Millisecond)) {
				s.Got = s.Sent + int64(time.Millisecond)
			}
			out = append(out, s)
		}
		return out
	}
	video := func(s Sample) bool { return s.Video }
	for _, c := range []struct {
		name    string
		samples []Sample
		want    time.Duration
		never   bool
	}{
		{name: "at once", samples: load(5, 0)},
		{name: "later", samples: load(10, 3*time.Second), want: 3 * time.Second},
		{name: "a moment is not back", samples: load(10, 4*time.Second, time.Second), want: 4 * time.Second},
		{name: "never", samples: load(10, time.Minute), never: true},
		{name: "too late to tell", samples: load(5, 4*time.Second), never: true},
		{name: "nothing", never: true},
	} {
		got, ok := Restored(c.samples, 0, int64(time.Second), video)
		if ok == c.never || got != c.want {
			t.Errorf("%s: %v %v, want %v", c.name, got, ok, c.want)
		}
	}
}

func TestChoose(t *testing.T) {
	ms := time.Millisecond
	for rows, want := range map[string]Choice{
		"":                        {Grid: Grid(), CPU: true, Capacity: true},
		"cpu=audio x4, cpu=video": {CPU: true, Cases: []string{"loopback audio x4", "loopback video"}},
		"100:0":                   {Grid: []Spec{{100 * ms, 0, Uniform}}},
		"100:0.01, 30:.05":        {Grid: []Spec{{100 * ms, .01, Uniform}, {100 * ms, .01, Burst}, {30 * ms, .05, Uniform}, {30 * ms, .05, Burst}}},
		"300:0.2:burst,cpu":       {Grid: []Spec{{300 * ms, .2, Burst}}, CPU: true},
		"bottleneck, capacity":    {Grid: []Spec{{100 * ms, 0, Bottleneck}}, Capacity: true},
		"specials":                {Grid: Specials()},
	} {
		got, err := Choose(rows)
		if err != nil {
			t.Errorf("%q: %v", rows, err)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%q: %s", rows, d)
		}
	}
	for _, rows := range []string{"100", "100:", "x:0.1", "100:1", "100:-0.1", "100:0.1:tcp", "1:2:3:4", ",", "9999:0", "cpu=video x9"} {
		if _, err := Choose(rows); err == nil {
			t.Errorf("%q was taken", rows)
		}
	}
	if n := len(Grid()); n != 4*(1+5*2)+len(Specials()) {
		t.Errorf("the grid has %d rows", n)
	}
}

// What reads the rows relies on these names and on null for what was not measured.
func TestRowsGolden(t *testing.T) {
	ratio, send, recv := 1.0312, 4.5, 6.25
	rows := []Row{
		{RTT: 100, Loss: .01, Pattern: Uniform, Variant: "maille", InTime: .9996, P50: 0, P99: 103.002, Audio: 1, BytesRatio: &ratio},
		{Pattern: "loopback audio", Variant: "quic", InTime: 1, P50: .1, P99: .4, Audio: .99, CPUSend: &send, CPURecv: &recv},
	}
	const golden = `[
{"rtt_ms":100,"loss":0.01,"pattern":"uniform","variant":"maille","in_time":0.9996,"p50_ms":0,"p99_ms":103.002,"audio":1,"bytes_ratio":1.0312,"cpu_us_send":null,"cpu_us_recv":null},
{"rtt_ms":0,"loss":0,"pattern":"loopback audio","variant":"quic","in_time":1,"p50_ms":0.1,"p99_ms":0.4,"audio":0.99,"bytes_ratio":null,"cpu_us_send":4.5,"cpu_us_recv":6.25}
]
`
	var b bytes.Buffer
	if err := WriteRows(&b, rows); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(golden, b.String()); d != "" {
		t.Error(d)
	}
	var back []Row
	if err := json.Unmarshal(b.Bytes(), &back); err != nil || !cmp.Equal(rows, back) {
		t.Errorf("read back: %v %+v", err, back)
	}
}

func TestMark(t *testing.T) {
	var b [markBytes]byte
	want := Mark{ID: 1 << 33, At: 1 << 60, Phase: Measured}
	want.put(b[:])
	if got, ok := parseMark(b[:]); !ok || got != want {
		t.Errorf("%+v", got)
	}
	if _, ok := parseMark(b[:markBytes-1]); ok {
		t.Error("a short one was taken")
	}
}

// A machine that is slow for a round is slow for both, and says nothing of either.
func TestRatioIsOfRoundsBesideEachOther(t *testing.T) {
	r := Results{CPU: []CPURow{
		{Pattern: fullCase, Variant: "maille", All: []float64{10, 30, 30}, Send: 15, Recv: 15, Came: 1},
		{Pattern: fullCase, Variant: "quic-direct", All: []float64{10, 30, 10}, Send: 5, Recv: 5, Came: 1},
	}}
	if got := r.ratios(); len(got) != 1 || got[0].ratio != 1 || !got[0].clean {
		t.Errorf("%+v, want 1", got)
	}
}

func TestFiguresJudge(t *testing.T) {
	at := func(loss float64, q Quality) Outcome {
		return Outcome{Spec: Spec{100 * time.Millisecond, loss, Uniform}, Variant: "maille", Quality: q, Forward: 104, Media: 100}
	}
	for name, c := range map[string]struct {
		outcome Outcome
		missed  int
	}{
		"good":           {at(.01, Quality{All: .9995}), 0},
		"late":           {at(.01, Quality{All: .9985}), 1},
		"slow":           {at(0, Quality{P50: 2 * time.Millisecond, P99: 6 * time.Millisecond}), 2},
		"audio and more": {at(.05, Quality{Video: .996, Audio: .997}), 1},
	} {
		r := Results{Outcomes: []Outcome{c.outcome}}
		missed := 0
		for _, f := range r.Figures() {
			if !f.Reached {
				missed++
			}
		}
		if missed != c.missed {
			t.Errorf("%s: %d missed, want %d: %v", name, missed, c.missed, r.Figures())
		}
	}
	fat := at(.01, Quality{All: 1})
	fat.Forward = 106
	if f := (&Results{Outcomes: []Outcome{fat}}).Figures(); f[len(f)-1].Reached {
		t.Error("6 % of framing passes")
	}
	fat.Repairs = 2
	if f := (&Results{Outcomes: []Outcome{fat}}).Figures(); !f[len(f)-1].Reached {
		t.Error("repairs count as framing")
	}
}

// One row of each variant, small, so that the bench itself does not rot.
func TestSmoke(t *testing.T) {
	load := Load{Videos: 1, VideoBytes: 1198, Audios: 1, AudioBytes: 120}
	plan := Plan{Settle: settle, Warm: time.Second, Measured: 2 * time.Second}
	spec := Spec{RTT: 30 * time.Millisecond, Pattern: Uniform}
	for _, variant := range Variants {
		var o Outcome
		var err error
		inBubble(t)(variant, func() { o, err = Run(spec, variant, load, plan, 1) })
		if err != nil {
			t.Fatal(variant, err)
		}
		if o.Quality.Audio != 1 || o.Quality.VideoGot < .99 || o.Quality.P50 > time.Millisecond {
			t.Errorf("%s without loss: %+v", variant, o.Quality)
		}
		if r := o.BytesRatio(); r < 1 || r > 1.1 {
			t.Errorf("%s: %.3f bytes a byte of media", variant, r)
		}
	}
	lossy := spec
	lossy.Loss = .1
	var o Outcome
	var err error
	inBubble(t)("udp with loss", func() { o, err = Run(lossy, "udp", load, plan, 1) })
	if err != nil || o.Quality.Video > .95 || o.Quality.Video < .85 {
		t.Errorf("udp at 10 %% loss: %v %+v", err, o.Quality)
	}
}

// A measurement of processor time between processes, a tiny one.
func TestPairOfProcesses(t *testing.T) {
	dir := t.TempDir()
	if err := saveCerts(dir); err != nil {
		t.Fatal(err)
	}
	order := childOrder{
		Load: Load{Audios: 4, AudioBytes: 120}, Certs: dir, Seed: 1,
		Warm: 50 * time.Millisecond, Measured: 200 * time.Millisecond,
	}
	for _, variant := range []string{"udp", "quic-direct", "maille"} {
		order.Variant = variant
		r, err := pair(t.Context(), order)
		if err != nil {
			t.Fatal(variant, err)
		}
		if want := 40; r.send.Packets < want-4 || r.send.Packets > want+4 || r.recv.Packets == 0 {
			t.Errorf("%s: %d sent, %d came, want about %d", variant, r.send.Packets, r.recv.Packets, want)
		}
	}
}
