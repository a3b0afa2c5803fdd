package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

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
	err := table(w, "NODE REGION STATE RAFT ROOMS PEOPLE TRACKS RTT UP SIGNALLING", func(row func(...any)) {
		for _, n := range s.Nodes {
			state := n.State
			if n.Stale {
				state += " (unseen)"
			}
			row(n.Name, n.Region, state, n.Raft, n.Rooms, n.Participants, n.Tracks, rtt(n.RttMs), time.Duration(n.UptimeMs*int64(time.Millisecond)).Round(time.Second), n.Signal)
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
			row(r.Name, r.Epoch, serving(r), r.Participants)
		}
	}); err != nil {
		return err
	}
	fmt.Fprintln(w)
	if len(s.Links) == 0 {
		fmt.Fprintln(w, "no links")
		return nil
	}
	return table(w, "LINK STATE RTT LOSS LANES OUT IN STREAMS-OUT STREAMS-IN DROPS", func(row func(...any)) {
		for _, l := range s.Links {
			state := "up"
			if !l.Up {
				state = "down"
			}
			row(l.Node+"->"+l.Peer, state, rtt(l.RttMs), fmt.Sprintf("%.2f%%", l.Loss*100), l.Lanes,
				humanize.Bytes(l.BytesOut), humanize.Bytes(l.BytesIn), l.StreamsOut, l.StreamsIn, drops(l.Drops))
		}
	})
}

func serving(r *adminpb.RoomStatus) string {
	var out []string
	for _, s := range r.Serving {
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
