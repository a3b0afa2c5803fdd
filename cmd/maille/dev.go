package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"maille/mesh"
	"maille/mesh/identity"
	"maille/node"
	"maille/node/auth"
	"maille/node/config"
)

// portStep separates the nodes of one machine, so that each keeps the last digits an
// operator knows.
const portStep = 10

// maxDevRegions keeps every node's ports below the gossip port of the first.
const maxDevRegions = 6

func devCommand() *cobra.Command {
	var (
		regions []string
		loudest uint32
		verbose bool
	)
	cmd := &cobra.Command{
		Use:   "dev",
		Short: "Run a whole mesh on this machine, one node per region, with dev keys",
		Example: `  maille dev
  maille dev --regions paris,lyon`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return dev(cmd.Context(), cmd.OutOrStdout(), regions, loudest, verbose)
		},
	}
	cmd.Flags().StringSliceVar(&regions, "regions", []string{"paris", "lyon", "marseille"}, "regions, one node each")
	cmd.Flags().Uint32Var(&loudest, "loudest", config.Default().Room.Loudest, "how many people are heard at once, 0 for all")
	cmd.Flags().BoolVarP(&verbose, "verbose", "v", false, "log what the nodes do")
	return cmd
}

// dev runs the mesh until ctx ends.
func dev(ctx context.Context, out io.Writer, regions []string, loudest uint32, verbose bool) error {
	if len(regions) == 0 || len(regions) > maxDevRegions {
		return fmt.Errorf("--regions takes 1 to %d names, such as --regions paris,lyon,marseille", maxDevRegions)
	}
	level := slog.LevelWarn
	if verbose {
		level = slog.LevelInfo
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level}))
	dir, err := os.MkdirTemp("", "maille-dev-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	fmt.Fprintf(out, "maille dev: %d nodes, dev keys, on this machine only\n\n", len(regions))
	nodes, err := openDev(regions, loudest, dir, log)
	defer func() {
		var wg sync.WaitGroup
		for _, n := range nodes {
			wg.Go(func() { _ = n.Close() })
		}
		wg.Wait()
	}()
	if err != nil {
		return err
	}
	run, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	errs := make(chan error, len(nodes))
	for _, n := range nodes {
		wg.Go(func() { errs <- n.Run(run) })
	}
	if err := announce(ctx, out, nodes); err != nil {
		return err
	}
	select {
	case <-ctx.Done():
		fmt.Fprintln(out, "\nstopping: clients are told, nodes leave")
		return nil
	case err := <-errs:
		return err
	}
}

// openDev makes a cluster authority in memory and opens a node per region.
func openDev(regions []string, loudest uint32, dir string, log *slog.Logger) ([]*node.Node, error) {
	ca, err := identity.NewCA("dev", 0)
	if err != nil {
		return nil, err
	}
	key := make([]byte, 32)
	if _, err := rand.Read(key); err != nil {
		return nil, err
	}
	var nodes []*node.Node
	for i, region := range regions {
		cfg, err := devConfig(i, regions, dir, key)
		if err != nil {
			return nodes, err
		}
		cfg.Room.Loudest = loudest
		id, err := ca.Issue(cfg.Name, region, []string{"127.0.0.1"}, 0)
		if err != nil {
			return nodes, fmt.Errorf("region %q: %w", region, err)
		}
		n, err := node.New(node.Options{Config: cfg, Identity: id, Log: log})
		if err != nil {
			return nodes, explainDevPort(err)
		}
		nodes = append(nodes, n)
	}
	return nodes, nil
}

func devConfig(i int, regions []string, dir string, key []byte) (config.Config, error) {
	cfg := config.Default()
	cfg.Name = regions[i]
	cfg.Region = regions[i]
	cfg.Cluster = "dev"
	cfg.Bind, cfg.Advertise = "127.0.0.1", "127.0.0.1"
	cfg.Dev = true
	for _, port := range []*int{
		&cfg.Ports.Signal, &cfg.Ports.MediaTCP, &cfg.Ports.MediaUDP, &cfg.Ports.Link, &cfg.Ports.Cluster, &cfg.Ports.Gossip,
	} {
		*port += i * portStep
	}
	cfg.Admin = fmt.Sprintf("127.0.0.1:%d", defaultAdminPort+i*portStep)
	cfg.Keys = map[string]string{auth.DevKey: auth.DevSecret}
	cfg.GossipKeys = [][]byte{key}
	cfg.DataDir = filepath.Join(dir, regions[i])
	cfg.BootstrapExpect = len(regions)
	for j := range regions {
		if j != i {
			cfg.Seeds = append(cfg.Seeds, fmt.Sprintf("127.0.0.1:%d", config.Default().Ports.Gossip+j*portStep))
		}
	}
	return cfg, os.MkdirAll(cfg.DataDir, 0o700)
}

// readyTimeout bounds how long a fresh mesh may take to find itself.
const readyTimeout = 30 * time.Second

// announce prints each plane as it becomes ready, then what to do next.
func announce(ctx context.Context, out io.Writer, nodes []*node.Node) error {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	first := nodes[0]
	for _, step := range []struct {
		what string
		wait func(context.Context, int) (string, error)
	}{
		{"gossip", first.WaitMembers},
		{"raft  ", first.WaitLeader},
		{"links ", first.WaitLinks},
	} {
		line, err := step.wait(ctx, len(nodes))
		if errors.Is(err, context.DeadlineExceeded) {
			return fmt.Errorf("%s not ready after %s: %s; run with --verbose to see why", strings.TrimSpace(step.what), readyTimeout, line)
		}
		if err != nil {
			return nil // stopped while starting
		}
		fmt.Fprintf(out, "  %s  ready: %s\n", step.what, line)
	}
	fmt.Fprintln(out)
	for _, n := range nodes {
		fmt.Fprintf(out, "  %-12s %s\n", n.Region(), strings.Replace(n.SignalURL(), "ws", "http", 1))
	}
	token, err := auth.Mint(auth.DevKey, auth.DevSecret, &auth.Claims{
		Identity: "ann", Video: &auth.Grants{RoomJoin: true, Room: "standup"},
	}, auth.DefaultTTL)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, `
Open two of these pages, in two tabs, and join the same room.
LiveKit clients: url %s, key %s, secret %s. A token for ann in room standup:

  %s

See the mesh:  maille status        a room:  maille room show standup
Stop with Ctrl-C.
`, first.SignalURL(), auth.DevKey, auth.DevSecret, token)
	return nil
}

// explainDevPort tells a newcomer why the mesh cannot start.
func explainDevPort(err error) error {
	var used *mesh.PortInUseError
	if errors.As(err, &used) {
		return fmt.Errorf("%w: is another `maille dev` running? Stop it, or find who holds the port with:  ss -lpn 'sport = :%s'", err, used.Port())
	}
	return err
}
