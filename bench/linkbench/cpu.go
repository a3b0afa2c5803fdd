package linkbench

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"maille/mesh/identity"
)

// cpuCase is a load whose cost is compared.
type cpuCase struct {
	pattern string
	load    Load
	// bound is what maille may cost, both ends, against quic; 0 for no promise.
	bound float64
}

// The loads: a region's speakers, and its cameras, in three shapes. In those that tick,
// several packets are offered at one instant, which lets quic-go too put several into one
// packet. Spread ones come as exactly as a Go timer wakes, which is in small heaps. Those
// from clients are read off a socket, one at a time and when they are due, which is how a
// node gets what it relays.
var cpuCases = []cpuCase{
	{loopback + "audio", Load{Audios: 200, AudioBytes: 120, Tick: time.Millisecond}, .5},
	{loopback + "audio x4", Load{Audios: 800, AudioBytes: 120, Tick: time.Millisecond}, .5},
	{loopback + "audio spread", Load{Audios: 200, AudioBytes: 120}, 0},
	{loopback + "audio from clients", Load{Audios: 200, AudioBytes: 120, Fed: true}, .5},
	{loopback + "video from clients", Load{Videos: 8, VideoBytes: 1198, Fed: true}, 1.1},
	{loopback + "video", Load{Videos: 8, VideoBytes: 1198}, 1.1},
	{fullCase, Load{Videos: 32, VideoBytes: 1198}, 1.1},
}

// fullCase is the one in which each packet is a QUIC packet of its own, at the rate of the
// audio.
const fullCase = loopback + "video x4"

const loopback = "loopback "

// cpuVariants are run in turn, cpuRounds times: A B A B, so that what else the machine
// does falls on all alike.
var cpuVariants = []string{"quic-direct", "maille", "udp"}

const (
	cpuRounds   = 3
	cpuWarm     = 4 * time.Second // tracks keep packets for two seconds, and allocate until then
	cpuMeasured = 3 * time.Second
)

// CPURow is what a variant cost on loopback.
type CPURow struct {
	Pattern, Variant string
	PPS              int
	// Send and Recv are microseconds of process time per packet, the load's own making
	// taken off: of the round with the median sum. All is that of each round, both ends.
	Send, Recv float64
	All        []float64
	// Wakes and Allocs are goroutines woken and objects allocated per packet, by the
	// sender (its load's included) and the receiver.
	Wakes, Allocs [2]float64
	Load          float64 // what making the load costs the sender, per packet
	Came          float64 // share
	P50, P99      time.Duration
	// PerDatagram is how many packets a datagram carries.
	PerDatagram float64
	Note        string
}

// Both ends together.
func (c CPURow) Both() float64 { return c.Send + c.Recv }

// Row is the result as reported.
func (c CPURow) Row() Row {
	variant := c.Variant
	if variant == "quic-direct" {
		variant = "quic"
	}
	r := Row{
		Pattern: c.Pattern, Variant: variant, P50: ms(c.P50), P99: ms(c.P99), InTime: c.Came, Audio: c.Came,
		CPUSend: &c.Send, CPURecv: &c.Recv,
	}
	if strings.Contains(c.Pattern, "audio") {
		r.InTime = 1 // no video was offered
	} else {
		r.Audio = 1
	}
	return r
}

func (c CPURow) String() string {
	return fmt.Sprintf("%-22s %-11s %6d packets/s: %.1f + %.1f us a packet (rounds %.1f), load %.1f; %s came, %.2f packets a datagram, %.2f wakes, %.1f allocations%s",
		c.Pattern, c.Variant, c.PPS, c.Send, c.Recv, c.All, c.Load, percent(c.Came), c.PerDatagram, c.Wakes, c.Allocs, c.Note)
}

// cpu measures all cases.
func (b *Bench) cpu(ctx context.Context) []CPURow {
	dir, err := os.MkdirTemp("", "linkbench")
	if err == nil {
		defer os.RemoveAll(dir)
		err = saveCerts(dir)
	}
	if err != nil {
		fmt.Fprintln(b.Progress, "processor time:", err)
		return nil
	}
	var out []CPURow
	for _, c := range cpuCases {
		if len(b.Choice.Cases) > 0 && !slices.Contains(b.Choice.Cases, c.pattern) {
			continue
		}
		order := childOrder{Case: c.pattern, Load: c.load, Seed: b.Seed, Certs: dir, Warm: cpuWarm, Measured: cpuMeasured, Profile: b.Profile}
		order.Variant, order.To = "none", "127.0.0.1:9"
		idle, err := send(ctx, order)
		if err != nil {
			fmt.Fprintln(b.Progress, c.pattern, err)
			continue
		}
		runs := make(map[string][]pairReport)
		for range cpuRounds {
			round := make(map[string]pairReport)
			for _, v := range cpuVariants {
				order.Variant = v
				r, err := pair(ctx, order)
				if err != nil {
					fmt.Fprintln(b.Progress, c.pattern, v, err)
					break
				}
				round[v] = r
			}
			for v, r := range round {
				if len(round) == len(cpuVariants) { // else there is nothing to compare it with
					runs[v] = append(runs[v], r)
				}
			}
		}
		for _, v := range cpuVariants {
			if len(runs[v]) > 0 {
				row := summarize(c, v, runs[v], perPacket(idle.Used.CPU, idle.Packets))
				fmt.Fprintln(b.Progress, row)
				out = append(out, row)
			}
		}
	}
	return out
}

func perPacket(cpu time.Duration, packets int) float64 {
	return float64(cpu) / 1e3 / float64(max(packets, 1))
}

// pairReport is one run between two processes.
type pairReport struct{ send, recv childReport }

// summarize takes the median of the rounds.
func summarize(c cpuCase, variant string, runs []pairReport, idle float64) CPURow {
	row := CPURow{Pattern: c.pattern, Variant: variant, PPS: c.load.PacketsPerSecond(), Load: idle}
	var sent, got int
	var datagrams, packets uint64
	var delays []time.Duration
	var costs []cost
	for _, r := range runs {
		costs = append(costs, r.cost(idle))
		row.All = append(row.All, costs[len(costs)-1].both())
		sent += r.send.Packets
		got += r.recv.Packets
		datagrams += r.send.Datagrams
		packets += r.send.InThem
		if r.send.Notes != "" {
			row.Note = "; " + r.send.Notes
		}
		for _, d := range r.recv.Delays {
			delays = append(delays, time.Duration(d)*time.Microsecond)
		}
	}
	slices.SortFunc(costs, func(a, b cost) int { return cmp.Compare(a.both(), b.both()) })
	median := costs[(len(costs)-1)/2]
	row.Send, row.Recv, row.Wakes, row.Allocs = median.send, median.recv, median.wakes, median.allocs
	row.Came = min(share(got, sent), 1)
	row.PerDatagram = float64(packets) / float64(max(datagrams, 1))
	row.P50, row.P99 = Quantile(delays, .5), Quantile(delays, .99)
	return row
}

// cost of one run, per packet.
type cost struct {
	send, recv    float64 // microseconds
	wakes, allocs [2]float64
}

func (c cost) both() float64 { return c.send + c.recv }

func (r pairReport) cost(idle float64) cost {
	// A link that sheds has sent less than it was offered.
	sent, got := int(r.send.InThem), r.recv.Packets
	per := func(n uint64, packets int) float64 { return float64(n) / float64(max(packets, 1)) }
	return cost{
		send:   perPacket(r.send.Used.CPU-time.Duration(idle*1e3)*time.Duration(r.send.Packets), sent),
		recv:   perPacket(r.recv.Used.CPU, got),
		wakes:  [2]float64{per(r.send.Used.Wakes, sent), per(r.recv.Used.Wakes, got)},
		allocs: [2]float64{per(r.send.Used.Allocs, sent), per(r.recv.Used.Allocs, got)},
	}
}

// cleanShare is how much must come for a cost to be comparable: what is not carried costs
// nothing.
const cleanShare = .99

// ratio is one promise about processor time.
type ratio struct {
	what, detail string
	ratio, bound float64
	clean        bool
}

func (r *Results) ratios() []ratio {
	var out []ratio
	for _, c := range cpuCases {
		if c.bound == 0 {
			continue
		}
		find := func(pattern, v string) *CPURow {
			i := slices.IndexFunc(r.CPU, func(row CPURow) bool { return row.Pattern == pattern && row.Variant == v })
			if i < 0 {
				return nil
			}
			return &r.CPU[i]
		}
		ours, quic := find(c.pattern, "maille"), find(c.pattern, "quic-direct")
		if ours == nil || quic == nil {
			continue
		}
		median, rounds := beside(ours.All, quic.All)
		detail := fmt.Sprintf("rounds %.2f, %.1f against %.1f us a packet, %.2f against %.2f packets a datagram, %s came",
			rounds, ours.Both(), quic.Both(), ours.PerDatagram, quic.PerDatagram, percent(ours.Came))
		// quic-go too puts small datagrams together when they come at once; full ones
		// travel alone.
		if full := find(fullCase, "quic-direct"); full != nil && c.load.Videos == 0 {
			detail += fmt.Sprintf("; %.2fx of a QUIC packet of its own", ours.Both()/full.Both())
		}
		out = append(out, ratio{
			what: c.pattern, bound: c.bound, ratio: median,
			clean:  ours.Came >= cleanShare,
			detail: detail,
		})
	}
	return out
}

// beside returns the ratio of each round to the other's that ran next to it, and their
// median. What else a shared machine does changes from one round to the next by more than
// two variants differ, and hardly within one.
func beside(ours, others []float64) (median float64, rounds []float64) {
	for i := range min(len(ours), len(others)) {
		rounds = append(rounds, ours[i]/others[i])
	}
	sorted := slices.Sorted(slices.Values(rounds))
	return sorted[(len(sorted)-1)/2], rounds
}

func saveCerts(dir string) error {
	ca, err := identity.NewCA("bench", 0)
	if err != nil {
		return err
	}
	for _, name := range []string{senderName, receiverName} {
		id, err := ca.Issue(name, "local", []string{"127.0.0.1"}, 0)
		if err != nil {
			return err
		}
		if err := id.SaveDir(filepath.Join(dir, name)); err != nil {
			return err
		}
	}
	return nil
}

func command(ctx context.Context, o childOrder) (*exec.Cmd, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	order, err := json.Marshal(o)
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, self)
	cmd.Env = append(os.Environ(), childEnv+"="+string(order))
	cmd.Stderr = os.Stderr
	return cmd, nil
}

// send runs a sender.
func send(ctx context.Context, o childOrder) (rep childReport, err error) {
	o.Role = senderName
	cmd, err := command(ctx, o)
	if err != nil {
		return rep, err
	}
	out, err := cmd.Output()
	if err != nil {
		return rep, fmt.Errorf("sender: %w", err)
	}
	return rep, json.Unmarshal(out, &rep)
}

// pair runs a receiver and a sender.
func pair(ctx context.Context, o childOrder) (rep pairReport, err error) {
	o.Role = receiverName
	cmd, err := command(ctx, o)
	if err != nil {
		return rep, err
	}
	in, err := cmd.StdinPipe()
	if err != nil {
		return rep, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return rep, err
	}
	if err := cmd.Start(); err != nil {
		return rep, err
	}
	lines := bufio.NewReader(out)
	addr, readErr := lines.ReadString('\n')
	if readErr == nil {
		o.To = strings.TrimSpace(addr)
		rep.send, err = send(ctx, o)
	}
	_ = in.Close()
	if readErr == nil && err == nil {
		readErr = json.NewDecoder(lines).Decode(&rep.recv)
	}
	waitErr := cmd.Wait()
	switch {
	case err != nil:
		return rep, err
	case waitErr != nil:
		return rep, fmt.Errorf("receiver: %w", waitErr)
	}
	return rep, readErr
}
