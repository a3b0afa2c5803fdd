package link

import (
	"bufio"
	"compress/gzip"
	"fmt"
	"os"
	"testing"
	"time"

	"maille/relay/bwe"
)

// lanesOn replays a trace of a real path (relay/bwe/testdata) to the estimator and, every
// 200 ms, to the controller of lanes, packets waiting for a lane all the time. It returns
// the most lanes that were ever wanted.
func lanesOn(t *testing.T, name string) (most int) {
	f, err := os.Open("../bwe/testdata/" + name + ".csv.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	c := laneCount{least: 4, most: 64}
	st := laneState{want: 4, rtt: 50 * time.Millisecond, waited: laneWait, blocked: laneBlocked}
	var e bwe.Estimator
	var samples []bwe.Sample
	sent, reported, decided := int64(0), int64(0), int64(0)
	for lines := bufio.NewScanner(z); lines.Scan(); {
		var gap, delay int64
		n, _ := fmt.Sscanf(lines.Text(), "%d,%d", &gap, &delay)
		sent += min(gap*1000, int64(time.Second))
		if n < 2 {
			st.lost++
			st.loss += (1 - st.loss) * lossGain
		} else {
			st.arrived++
			st.loss -= st.loss * lossGain
			samples = append(samples, bwe.Sample{Sent: sent, Arrived: sent + delay*1000, Size: fullPacket})
		}
		if sent-reported >= reportEvery {
			reported = sent
			e.Report(sent, st.loss, samples)
			samples = samples[:0]
		}
		if sent-decided >= int64(probeEvery) {
			decided = sent
			st.congested = e.Congested()
			st.lanes = st.want
			st.want, _ = c.decide(sent, st)
			most = max(most, st.want)
		}
	}
	return most
}

func TestRecordedPathsAreGivenLanesForLossOnly(t *testing.T) {
	for name, few := range map[string]bool{"bottleneck": true, "random-loss": false} {
		if most := lanesOn(t, name); few && most > fewLanes || !few && most < 32 {
			t.Errorf("%s: up to %d lanes", name, most)
		}
	}
}
