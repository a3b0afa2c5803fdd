package bwe

import (
	"bufio"
	"compress/gzip"
	"fmt"
	"os"
	"testing"
	"time"
)

// recorded is a trace of a real path; see testdata/README.
type recorded struct {
	sent, arrived []int64 // nanoseconds; arrived is 0 for what was lost
}

func load(t *testing.T, name string) (r recorded) {
	f, err := os.Open("testdata/" + name + ".csv.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	at := int64(0)
	for lines := bufio.NewScanner(z); lines.Scan(); {
		var gap, delay int64
		n, _ := fmt.Sscanf(lines.Text(), "%d,%d", &gap, &delay)
		if len(r.sent) == 0 {
			gap = 0
		}
		at += gap * 1000
		r.sent = append(r.sent, at)
		if n < 2 {
			r.arrived = append(r.arrived, 0)
			continue
		}
		r.arrived = append(r.arrived, at+max(delay, 1)*1000)
	}
	if len(r.sent) < 1000 {
		t.Fatalf("%s has %d datagrams", name, len(r.sent))
	}
	return r
}

// replay reports a trace every 25 ms, 25 ms late, and calls each after every report. The
// sender of the trace heeded nobody: what is judged is what the estimator would have had it do.
func (r recorded) replay(each func(at time.Duration, e *Estimator)) {
	const skew = int64(1e15) // of the receiver's clock
	var e Estimator
	var pending []Sample
	loss := 0.0
	i := 0
	for now := reportNS; now < r.sent[len(r.sent)-1]; now += reportNS {
		for ; i < len(r.sent) && r.sent[i] < now; i++ {
			if r.arrived[i] == 0 {
				loss += (1 - loss) / 500
				continue
			}
			loss -= loss / 500
			pending = append(pending, Sample{Sent: r.sent[i], Arrived: r.arrived[i] + skew, Size: datagram})
		}
		var due, rest []Sample
		for _, s := range pending {
			if s.Arrived-skew <= now-reportNS {
				due = append(due, s)
			} else {
				rest = append(rest, s)
			}
		}
		pending = rest
		e.Report(now, loss, due)
		each(time.Duration(now), &e)
	}
}

func TestRecordedBottleneckIsFoundAtOnce(t *testing.T) {
	var first time.Duration
	load(t, "bottleneck").replay(func(at time.Duration, e *Estimator) {
		if e.Cap() > 0 && first == 0 {
			first = at
		}
		if at > 600*time.Millisecond && (e.Cap() == 0 || e.Cap() > 8.2*mbit) {
			t.Fatalf("%v: cap %.1f Mbit/s on a path of 8", at, e.Cap()/mbit)
		}
		if at > 600*time.Millisecond && !e.Congested() {
			t.Fatalf("%v: not congested with a queue of %v", at, e.Queue())
		}
	})
	if first < 50*time.Millisecond || first > 300*time.Millisecond {
		t.Errorf("capped after %v", first)
	}
}

func TestRecordedStepsDownAndUp(t *testing.T) {
	var down float64
	load(t, "steps").replay(func(at time.Duration, e *Estimator) {
		switch {
		case at < 3*time.Second && e.Cap() != 0:
			t.Fatalf("%v: capped to %.1f Mbit/s before the path shrank", at, e.Cap()/mbit)
		case at > 3500*time.Millisecond && at < 6*time.Second:
			if down = e.Cap(); down == 0 || down > 4.2*mbit {
				t.Fatalf("%v: cap %.1f Mbit/s on a path of 4", at, down/mbit)
			}
		case at > 7900*time.Millisecond && e.Cap() < 1.5*down:
			t.Fatalf("%v: cap still %.1f Mbit/s", at, e.Cap()/mbit)
		}
	})
}

// A bulk transfer shares a path of 20 Mbit/s with our 6 for four seconds.
func TestRecordedTransferDoesNotPushUsOff(t *testing.T) {
	least := 1e18
	load(t, "competing-tcp").replay(func(at time.Duration, e *Estimator) {
		switch {
		case at < 2*time.Second && e.Cap() != 0:
			t.Fatalf("%v: capped to %.1f Mbit/s alone on the path", at, e.Cap()/mbit)
		case at > 3*time.Second && at < 6*time.Second && e.Cap() > 0:
			least = min(least, e.Cap())
		case at > 6500*time.Millisecond && e.Congested():
			t.Fatalf("%v: congested after the transfer", at)
		}
	})
	if least < 1*mbit {
		t.Errorf("left with %.2f Mbit/s beside a bulk transfer", least/mbit)
	}
	t.Logf("least cap %.2f Mbit/s", least/mbit)
}

func TestRecordedRandomLossIsNotCongestion(t *testing.T) {
	load(t, "random-loss").replay(func(at time.Duration, e *Estimator) {
		if e.Cap() != 0 || e.Congested() {
			t.Fatalf("%v: cap %.1f Mbit/s, queue %v", at, e.Cap()/mbit, e.Queue())
		}
	})
}
