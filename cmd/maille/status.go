package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"maille/mesh/view"
	adminpb "maille/proto/admin"
)

func statusCommand() *cobra.Command {
	var a adminFlags
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show nodes, regions, roles, rooms and links",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.ask(cmd.Context(), func(ctx context.Context, c adminpb.AdminClient) error {
				s, err := c.Status(ctx, &adminpb.StatusRequest{})
				if err != nil {
					return err
				}
				if a.asJSON {
					return printJSON(cmd.OutOrStdout(), s)
				}
				return printStatus(cmd.OutOrStdout(), s)
			})
		},
	}
	a.register(cmd)
	return cmd
}

func table(w io.Writer, header string, rows func(row func(cells ...any))) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, strings.ReplaceAll(header, " ", "\t"))
	rows(func(cells ...any) {
		for i, c := range cells {
			if i > 0 {
				fmt.Fprint(tw, "\t")
			}
			fmt.Fprint(tw, c)
		}
		fmt.Fprintln(tw)
	})
	return tw.Flush()
}

func printStatus(w io.Writer, s *adminpb.StatusResponse) error {
	leader := s.Leader
	if leader == "" {
		leader = "none"
	}
	quorum := "yes"
	if !s.Quorum {
		quorum = "NO: live meetings run on, no new room can be committed"
	}
	fmt.Fprintf(w, "as seen by %s   leader %s   quorum %s\n\n", s.Self, leader, quorum)
	rafts := slices.ContainsFunc(s.Nodes, func(n *adminpb.NodeStatus) bool { return n.Raft != "none" })
	err := table(w, "NODE REGION STATE RAFT ROOMS PEOPLE TRACKS RTT UP SIGNALLING", func(row func(...any)) {
		for _, n := range s.Nodes {
			state := n.State
			switch {
			case n.Stale:
				state += " (unseen)"
			case rafts && n.Raft == "none" && n.Name != s.Self && n.State == view.Serving.String():
				state += " (unproven)" // only gossip brought it: nobody is sent there
			}
			row(n.Name, n.Region, state, n.Raft, n.Rooms, n.Participants, n.Tracks, rtt(n.RttMs), uptime(n.UptimeMs), n.Signal)
		}
	})
	if err != nil {
		return err
	}
	fmt.Fprintln(w)
	if len(s.Rooms) == 0 {
		fmt.Fprintln(w, "no rooms")
	} else if err := table(w, "ROOM EPOCH SERVED-BY PEOPLE", func(row func(...any)) {
		for _, r := range s.Rooms {
			row(r.Name, epoch(r), serving(r), r.Participants)
		}
	}); err != nil {
		return err
	}
	fmt.Fprintln(w)
	if len(s.Links) == 0 {
		fmt.Fprintln(w, "no links")
		return nil
	}
	return printLinks(w, s)
}

// printLinks writes a row a link; where a cell holds a pair it is out/in. WANTED is what is
// asked of the link, LIMIT what its path is found to carry, in Mbit/s; LATE are repairs
// that came after they were given up.
func printLinks(w io.Writer, s *adminpb.StatusResponse) error {
	fmt.Fprintf(w, "links of %s, pairs are out/in\n", s.Self)
	err := table(w, "PEER RTT LOSS QUEUE WANTED LIMIT LANES STREAMS BYTES REPAIRS LATE LOST", func(row func(...any)) {
		for _, l := range s.Links {
			if !l.Up {
				row(l.Peer, "DOWN", "-", "-", "-", "-", "-", "-", "-", "-", "-", "-")
				continue
			}
			row(l.Peer, rtt(l.RttMs), fmt.Sprintf("%.2f%%", l.Loss*100), fmt.Sprintf("%.1fms", l.QueueMs),
				mbits(l.DemandBps), mbits(l.EstimateBps), l.Lanes,
				fmt.Sprintf("%d/%d", l.StreamsOut, l.StreamsIn),
				humanize.Bytes(l.BytesOut)+"/"+humanize.Bytes(l.BytesIn),
				fmt.Sprintf("%d/%d", l.RepairsAnswered, l.RepairsAsked), l.RepairsLate, l.Lost)
		}
	})
	for _, l := range s.Links {
		if len(l.Drops) > 0 {
			fmt.Fprintf(w, "  dropped on the way to or from %s: %s\n", l.Peer, drops(l.Drops))
		}
		if len(l.Refused) > 0 {
			fmt.Fprintf(w, "  tracks refused to %s: %s\n", l.Peer, drops(l.Refused))
		}
		if l.Excess > 0 {
			fmt.Fprintf(w, "  %s asked for %d packets more than a peer may\n", l.Peer, l.Excess)
		}
	}
	if len(s.LinksRefused) > 0 {
		fmt.Fprintf(w, "  connections to this node's links refused: %s\n", drops(s.LinksRefused))
	}
	if len(s.LinksUnsent) > 0 {
		fmt.Fprintf(w, "  packets of links that the kernel did not take: %s\n", drops(s.LinksUnsent))
	}
	return err
}

// mbits is a rate, "-" when it is not known or there is none.
func mbits(bps float64) string {
	if bps == 0 {
		return "-"
	}
	return fmt.Sprintf("%.1fM", bps/1e6)
}

func serving(r *adminpb.RoomStatus) string {
	var out []string
	for _, s := range r.GetServing() {
		out = append(out, s.Region+":"+strings.Join(s.Nodes, "+"))
	}
	return strings.Join(out, " ")
}

func rtt(ms float64) string {
	if ms == 0 {
		return "-"
	}
	return fmt.Sprintf("%.1fms", ms)
}

// uptime keeps the two largest units.
func uptime(ms int64) string {
	d := time.Duration(ms) * time.Millisecond
	switch {
	case d >= 24*time.Hour:
		return fmt.Sprintf("%dd%dh", d/(24*time.Hour), d%(24*time.Hour)/time.Hour)
	case d >= time.Hour:
		return fmt.Sprintf("%dh%dm", d/time.Hour, d%time.Hour/time.Minute)
	}
	return d.Round(time.Second).String()
}
