package main

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/protobuf/encoding/protojson"

	"maille/bench/client"
	"maille/node/auth"
	adminpb "maille/proto/admin"
)

// TestMain lets the test binary be maille itself, so that tests run real processes.
func TestMain(m *testing.M) {
	if os.Getenv("MAILLE_TEST_RUN") == "1" {
		os.Unsetenv("MAILLE_TEST_RUN")
		main()
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

// patience is how long a step of real processes may take: these tests say that it comes to
// pass, on a machine that does much else, and those in bubbles how soon.
const patience = 2 * time.Minute

// maille runs a verb as a process of its own.
func maille(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, os.Args[0], args...)
	cmd.Env = append(os.Environ(), "MAILLE_TEST_RUN=1")
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = patience
	return cmd
}

func output(t *testing.T, args ...string) string {
	t.Helper()
	b, err := maille(t.Context(), args...).CombinedOutput()
	if err != nil {
		t.Fatalf("maille %s: %v\n%s", strings.Join(args, " "), err, b)
	}
	return string(b)
}

// Ports below those that the system gives to whoever asks for any (32768 and up on Linux),
// so that nobody takes one between the asking and the process that it is for.
const lowestPort, highestPort = 20_000, 32_000

// free returns ports that nothing listens on, TCP or UDP.
func free(t *testing.T, n int) []int {
	t.Helper()
	var out []int
	for port := lowestPort + rand.IntN(highestPort-lowestPort)/2; len(out) < n; port++ {
		if port > highestPort {
			t.Fatalf("%d of %d ports are free", len(out), n)
		}
		addr := fmt.Sprintf("127.0.0.1:%d", port)
		tcp, err := net.Listen("tcp", addr)
		if err != nil {
			continue
		}
		udp, err := net.ListenPacket("udp", addr)
		_ = tcp.Close()
		if err != nil {
			continue
		}
		_ = udp.Close()
		out = append(out, port)
	}
	return out
}

type process struct {
	name, admin, url string
	cmd              *exec.Cmd
	log              *safeBuffer
}

type safeBuffer struct {
	mu sync.Mutex // guards b
	b  bytes.Buffer
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

const (
	processKey    = "APIprocess"
	processSecret = "a-secret-for-processes-of-32-bytes-or-more"
)

// serveThree makes a cluster by hand, as the README says, and starts it.
func serveThree(ctx context.Context, t *testing.T) []*process {
	t.Helper()
	dir := t.TempDir()
	output(t, "cert", "ca", "--cluster", "maille", "--dir", filepath.Join(dir, "ca"))
	regions := []string{"paris", "lyon", "marseille"}
	ports := free(t, 7*len(regions))
	var seeds []string
	for i := range regions {
		seeds = append(seeds, fmt.Sprintf("127.0.0.1:%d", ports[7*i+5]))
	}
	var all []*process
	for i, region := range regions {
		home := filepath.Join(dir, region)
		output(t, "cert", "node", "--ca", filepath.Join(dir, "ca"), "--name", region, "--region", region, "--dir", filepath.Join(home, "certs"))
		p := ports[7*i:]
		file := filepath.Join(home, "node.yaml")
		others := append(append([]string{}, seeds[:i]...), seeds[i+1:]...)
		text := fmt.Sprintf(`name: %[1]s
region: %[1]s
bind: 127.0.0.1
advertise: 127.0.0.1
data_dir: %[2]s/data
certs_dir: %[2]s/certs
ports: {signal: %[3]d, ice_tcp: %[4]d, media_udp: %[4]d, link: %[5]d, cluster: %[5]d, gossip: %[8]d}
admin: 127.0.0.1:%[6]d
seeds: [%[7]s]
gossip_keys: [MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=]
bootstrap_expect: 3
keys: {%[9]s: %[10]s}
`, region, home, p[0], p[1], p[2], p[6], strings.Join(others, ", "), p[5], processKey, processSecret)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		output(t, "config", "check", file)
		pr := &process{name: region, admin: fmt.Sprintf("127.0.0.1:%d", p[6]), url: fmt.Sprintf("ws://127.0.0.1:%d", p[0]), log: new(safeBuffer)}
		pr.cmd = maille(ctx, "serve", "-c", file)
		pr.cmd.Stdout, pr.cmd.Stderr = pr.log, pr.log
		if err := pr.cmd.Start(); err != nil {
			t.Fatal(err)
		}
		all = append(all, pr)
	}
	return all
}

// leaderOf asks a process who leads; "" while nobody does or it does not answer.
func leaderOf(p *process) *adminpb.StatusResponse {
	b, err := maille(context.Background(), "status", "--json", "--admin", p.admin).Output()
	if err != nil {
		return nil
	}
	s := new(adminpb.StatusResponse)
	if protojson.Unmarshal(b, s) != nil {
		return nil
	}
	return s
}

func linksUp(s *adminpb.StatusResponse) (n int) {
	for _, l := range s.Links {
		if l.Up {
			n++
		}
	}
	return n
}

// poll waits for a condition of real processes.
func poll(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-deadline.C:
			t.Fatalf("%s: not within %s", what, patience)
		case <-tick.C:
		}
	}
}

func join(ctx context.Context, t *testing.T, url, room, identity string) (*client.Client, error) {
	t.Helper()
	token, err := auth.Mint(processKey, processSecret, &auth.Claims{
		Identity: identity, Video: &auth.Grants{RoomJoin: true, Room: room},
	}, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	return client.Connect(ctx, client.Options{URL: url, Token: token})
}

// Three processes, made by hand, are one mesh; the leader is killed, and a new room is
// placed by the others.
func TestLeaderKilled(t *testing.T) {
	if testing.Short() {
		t.Skip("starts processes")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*patience)
	all := serveThree(ctx, t)
	defer func() {
		cancel()
		for _, p := range all {
			_ = p.cmd.Wait()
			if t.Failed() {
				t.Logf("--- %s\n%s", p.name, p.log)
			}
		}
	}()
	var leader string
	poll(t, "a leader and all links", func() bool {
		s := leaderOf(all[0])
		if s == nil || s.Leader == "" || len(s.Nodes) != 3 || linksUp(s) != 2 {
			return false
		}
		leader = s.Leader
		return true
	})
	c, err := join(ctx, t, all[0].url, "before", "ann")
	if err != nil {
		t.Fatal(err)
	}
	c.Close()

	var survivor *process
	for _, p := range all {
		if p.name == leader {
			if err := p.cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		} else {
			survivor = p
		}
	}
	killed, attempt := time.Now(), 0
	poll(t, "a new room after the leader's death", func() bool {
		try, stop := context.WithTimeout(ctx, patience/4)
		defer stop()
		attempt++
		c, err := join(try, t, survivor.url, fmt.Sprintf("after-%d", attempt), "ann")
		if err != nil {
			t.Log(err)
			return false
		}
		t.Logf("a new room %s after the leader's death", time.Since(killed).Round(time.Millisecond))
		c.Close()
		return true
	})
}
