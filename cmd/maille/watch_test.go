package main

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
)

// Three processes start, let somebody in, refuse somebody else, and stop. Their metrics
// say so, and their logs are JSON since nobody reads along.
func TestMetricsAndLogs(t *testing.T) {
	if testing.Short() {
		t.Skip("starts processes")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*patience)
	defer cancel()
	all := serveThree(ctx, t)
	poll(t, "a leader and all links", func() bool {
		s := leaderOf(all[0])
		return s != nil && s.Leader != "" && len(s.Nodes) == 3 && linksUp(s) == 2
	})
	c, err := join(ctx, t, all[0].url, "standup", "ann")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	bad, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.Replace(all[0].url, "ws", "http", 1)+"/rtc?access_token=x", nil)
	if err != nil {
		t.Fatal(err)
	}
	for k, v := range map[string]string{"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA=="} {
		bad.Header.Set(k, v)
	}
	if res, err := http.DefaultClient.Do(bad); err != nil || res.StatusCode != http.StatusUnauthorized {
		t.Fatalf("a bad token: %v, %v", res, err)
	}
	want := []string{
		`maille_link_up{peer="lyon"} 1`, `maille_link_up{peer="marseille"} 1`,
		`maille_signal_joins_total{outcome="joined"} 1`, `maille_signal_joins_total{outcome="refused"} 1`,
		`maille_signal_join_duration_seconds_count 1`, `maille_signal_sessions 1`,
		`maille_rooms_active 1`, `maille_participants_active 1`, `maille_raft_quorum 1`, "\nmaille_raft_leader_changes_total ",
		`maille_gossip_members{state="serving"} 3`, `region="paris"`, "process_cpu_seconds_total",
	}
	var missing string
	defer func() {
		if missing != "" {
			t.Logf("no %s", missing)
		}
	}()
	poll(t, "metrics of a join", func() bool {
		text := metrics(ctx, t, all[0])
		missing = ""
		for _, line := range want {
			if !strings.Contains(text, line) {
				missing = line
			}
		}
		return missing == ""
	})
	c.Close()
	cancel()
	for _, p := range all {
		_ = p.cmd.Wait() // says only that it was cancelled
		if code := p.cmd.ProcessState.ExitCode(); code != 0 {
			t.Errorf("%s ended with %d", p.name, code)
		}
		records := 0
		for line := range strings.Lines(p.log.String()) {
			if strings.HasPrefix(line, "maille ") || strings.HasPrefix(line, "stopping") {
				continue // standard output
			}
			var r struct{ Level, Msg, Node string }
			if err := json.Unmarshal([]byte(line), &r); err != nil || r.Node != p.name {
				t.Errorf("%s logs %s", p.name, line)
			}
			records++
		}
		if records == 0 {
			t.Errorf("%s logs nothing", p.name)
		}
	}
}

func metrics(ctx context.Context, t *testing.T, p *process) string {
	t.Helper()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.admin+"/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("metrics: %s, %v", res.Status, err)
	}
	return string(b)
}
