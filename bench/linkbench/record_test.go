package linkbench

import (
	"bufio"
	"compress/gzip"
	"encoding/binary"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The traces that relay/bwe is tested on are recorded here: datagrams over real sockets
// through a bottleneck of the kernel's (tbf on a veth between two network namespaces).
//
//	go test -c -o bin/bench-link ./bench/linkbench
//	sudo unshare -n bin/bench-link -test.run '^TestRecord$' -bench-record relay/bwe/testdata
var record = flag.String("bench-record", "", "folder for traces of real paths; needs root in a network namespace of its own")

// recordEnv marks the receiving process.
const recordEnv = "MAILLE_LINKBENCH_RECORD"

const (
	recordFor      = 8 * time.Second
	recordDatagram = 1200
	recordOverhead = 28
	// recordFlows is how many TCP connections make a bulk transfer: Linux lets each hold but
	// little in the bottleneck's queue while that is its own.
	recordFlows = 8
)

// recording is one trace: rates of the path and of the sender in Mbit/s by second.
type recording struct {
	name string
	path map[int]int // new rate of the bottleneck from a second on
	send float64
	loss float64 // share that never leaves
	tcp  [2]int  // seconds between which a bulk TCP transfer shares the path
}

var recordings = []recording{
	{name: "bottleneck", path: map[int]int{0: 8}, send: 10},
	{name: "steps", path: map[int]int{0: 20, 3: 4, 6: 20}, send: 8},
	{name: "competing-tcp", path: map[int]int{0: 20}, send: 6, tcp: [2]int{2, 6}},
	{name: "random-loss", path: map[int]int{0: 50}, send: 8, loss: .05},
}

func run(t *testing.T, line string) {
	words := strings.Fields(line)
	if out, err := exec.Command(words[0], words[1:]...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v %s", line, err, out)
	}
}

func TestRecord(t *testing.T) {
	if *record == "" {
		t.Skip("only with -bench-record: it needs root")
	}
	for _, r := range recordings {
		t.Run(r.name, func(t *testing.T) { r.make(t) })
	}
}

func shape(t *testing.T, verb string, mbits int) {
	run(t, fmt.Sprintf("tc qdisc %s dev out root tbf rate %dmbit burst 4k latency 400ms", verb, mbits))
}

func (r recording) make(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("unshare", "-n", self)
	cmd.Env = append(os.Environ(), recordEnv+"=1")
	cmd.Stderr = os.Stderr
	in, _ := cmd.StdinPipe()
	out, _ := cmd.StdoutPipe()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(out)
	wait := func() { _, _ = lines.ReadString('\n') }
	wait()
	run(t, "ip link add out type veth peer name in netns "+strconv.Itoa(cmd.Process.Pid))
	run(t, "ip addr add 192.0.2.1/24 dev out")
	run(t, "ip link set out up")
	defer run(t, "ip link del out")
	shape(t, "add", r.path[0])
	fmt.Fprintln(in)
	wait()
	sent := r.play(t)
	_ = in.Close()
	f, err := os.Create(filepath.Join(*record, r.name+".csv.gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, _ := gzip.NewWriterLevel(f, gzip.BestCompression)
	got := make(map[uint32]int64)
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			break
		}
		var seq uint32
		var at int64
		fmt.Sscan(line, &seq, &at)
		got[seq] = at
	}
	last := int64(0)
	for seq, at := range sent { // microseconds since the one before, and of delay, empty when lost
		delay := ""
		if g, ok := got[uint32(seq)]; ok {
			delay = strconv.FormatInt((g-at)/1000, 10)
		}
		fmt.Fprintf(z, "%d,%s\n", at/1000-last, delay)
		last = at / 1000
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d datagrams, %d came", len(sent), len(got))
	_ = cmd.Wait()
}

// play plays the recording and returns when each datagram left, in nanoseconds.
func (r recording) play(t *testing.T) (sent []int64) {
	conn, err := net.Dial("udp4", "192.0.2.2:9")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	// The kernel counts what waits in the bottleneck as the sender's: it must not block us.
	raw, err := conn.(*net.UDPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	_ = raw.Control(func(fd uintptr) {
		err = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_SNDBUFFORCE, 8<<20)
	})
	if err != nil {
		t.Fatal(err)
	}
	_, _ = conn.Write(make([]byte, 4)) // and let the kernel find out who the neighbour is
	<-time.After(1500 * time.Millisecond)
	var tcp []net.Conn
	rng := rand.New(rand.NewPCG(1, 1))
	buf := make([]byte, recordDatagram)
	start, credit, second, bytes := time.Now().UnixNano(), 0.0, -1, make([]byte, 1<<16)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for before := start; ; {
		<-tick.C
		now := time.Now().UnixNano()
		if now-start > int64(recordFor) {
			return sent
		}
		if s := int(time.Duration(now-start) / time.Second); s != second {
			second = s
			if mbits := r.path[s]; mbits > 0 && s > 0 {
				shape(t, "change", mbits)
			}
			switch {
			case tcp == nil && r.tcp[0] > 0 && s == r.tcp[0]:
				for range recordFlows {
					c, err := net.Dial("tcp4", "192.0.2.2:9")
					if err != nil {
						t.Fatal(err)
					}
					tcp = append(tcp, c)
					go func() {
						for err := error(nil); err == nil; {
							_, err = c.Write(bytes)
						}
					}()
				}
			case s == r.tcp[1]:
				for _, c := range tcp {
					_ = c.(*net.TCPConn).SetLinger(0)
					_ = c.Close()
				}
			}
		}
		credit += r.send * 1e6 / 8 * float64(now-before) / 1e9
		for before = now; credit >= recordDatagram+recordOverhead; credit -= recordDatagram + recordOverhead {
			binary.BigEndian.PutUint32(buf, uint32(len(sent)))
			sent = append(sent, time.Now().UnixNano())
			if rng.Float64() >= r.loss {
				_, _ = conn.Write(buf)
			}
		}
	}
}

// recordChild receives in a namespace of its own until its input ends.
func recordChild() int {
	fmt.Println("ready")
	lines := bufio.NewReader(os.Stdin)
	_, _ = lines.ReadString('\n')
	for _, line := range []string{"ip link set lo up", "ip addr add 192.0.2.2/24 dev in", "ip link set in up"} {
		words := strings.Fields(line)
		if err := exec.Command(words[0], words[1:]...).Run(); err != nil {
			fmt.Fprintln(os.Stderr, line, err)
			return 1
		}
	}
	conn, err := net.ListenPacket("udp4", "192.0.2.2:9")
	if err != nil {
		return 1
	}
	listener, err := net.Listen("tcp4", "192.0.2.2:9")
	if err != nil {
		return 1
	}
	go func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			go func() { _, _ = io.Copy(io.Discard, c) }()
		}
	}()
	fmt.Println("listening")
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		<-time.After(time.Second)
		_ = conn.Close()
	}()
	type arrival struct {
		seq uint32
		at  int64
	}
	var got []arrival
	var buf [2048]byte
	for {
		n, _, err := conn.ReadFrom(buf[:])
		if err != nil {
			break
		}
		if n >= 4 {
			got = append(got, arrival{binary.BigEndian.Uint32(buf[:]), time.Now().UnixNano()})
		}
	}
	w := bufio.NewWriter(os.Stdout)
	defer w.Flush()
	for _, a := range got {
		fmt.Fprintln(w, a.seq, a.at)
	}
	return 0
}
