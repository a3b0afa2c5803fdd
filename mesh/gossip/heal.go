package gossip

import (
	"context"
	"math/rand/v2"
	"net"
	"net/netip"
	"time"
)

const (
	// healInterval paces attempts to reach seeds and dead nodes that are not members;
	// aloneInterval while this node knows no other.
	healInterval  = 10 * time.Second
	aloneInterval = time.Second
	// healTargets bounds one attempt: each may take streamTimeout.
	healTargets = 3
	// resolveWait bounds one look-up of a seed's name.
	resolveWait = 2 * time.Second
)

// heal finds the cluster, and finds it again after a split: memberlist stops talking
// to the dead, so two halves that buried each other would stay apart for ever.
func (g *Gossip) heal() {
	first := true
	for {
		g.join()
		if first {
			close(g.joined)
			first = false
		}
		wait := healInterval
		if g.table.size() == 1 {
			wait = aloneInterval
		}
		// Spread over the interval, so that a whole region does not call at once.
		wait = wait/2 + rand.N(wait)
		t := time.NewTimer(wait)
		select {
		case <-g.ctx.Done():
			t.Stop()
			return
		case <-t.C:
		}
	}
}

func (g *Gossip) join() {
	targets := g.table.absent(g.seeds(), g.Addr())
	rand.Shuffle(len(targets), func(i, j int) { targets[i], targets[j] = targets[j], targets[i] })
	if len(targets) > healTargets {
		targets = targets[:healTargets]
	}
	for _, addr := range targets {
		if g.ctx.Err() != nil {
			return
		}
		if _, err := g.list.Join([]string{addr}); err != nil {
			g.log.Debug("gossip: no answer", "addr", addr, "err", err)
		}
	}
}

// seeds returns the seeds' addresses, resolved anew each time: they may move.
func (g *Gossip) seeds() []string {
	var out []string
	for _, s := range g.cfg.Seeds {
		addrs, err := resolve(g.ctx, g.cfg.Resolve, s)
		if err != nil {
			g.log.Debug("gossip: seed not found", "seed", s, "err", err)
			continue
		}
		for _, a := range addrs {
			out = append(out, a.String())
		}
	}
	return out
}

// resolve returns the addresses behind a host:port whose host may be a name.
func resolve(ctx context.Context, lookup func(context.Context, string) ([]netip.Addr, error), hostport string) ([]netip.AddrPort, error) {
	host, port, err := net.SplitHostPort(hostport)
	if err != nil {
		return nil, err
	}
	if ip, err := netip.ParseAddr(host); err == nil {
		p, err := netip.ParseAddrPort(net.JoinHostPort(ip.Unmap().String(), port))
		return []netip.AddrPort{p}, err
	}
	ctx, cancel := context.WithTimeout(ctx, resolveWait)
	defer cancel()
	ips, err := lookup(ctx, host)
	if err != nil {
		return nil, err
	}
	var out []netip.AddrPort
	for _, ip := range ips {
		p, err := netip.ParseAddrPort(net.JoinHostPort(ip.Unmap().String(), port))
		if err != nil {
			return nil, err
		}
		out = append(out, p)
	}
	return out, nil
}

func resolveHost(ctx context.Context, host string) ([]netip.Addr, error) {
	return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
}
