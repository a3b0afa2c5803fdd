package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	adminpb "maille/proto/admin"
)

func roomCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "room", Short: "Look at rooms"}
	cmd.AddCommand(roomShowCommand())
	return cmd
}

func roomShowCommand() *cobra.Command {
	var a adminFlags
	cmd := &cobra.Command{
		Use:     "show ROOM",
		Short:   "Show a room's people and, per track, origin, layers and the links that carry it",
		Example: "  maille room show standup",
		Args:    one("the name of a room"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.ask(cmd.Context(), func(ctx context.Context, c adminpb.AdminClient) error {
				s, err := c.RoomShow(ctx, &adminpb.RoomShowRequest{Room: args[0]})
				if err != nil {
					return err
				}
				if a.asJSON {
					return printJSON(cmd.OutOrStdout(), s)
				}
				return printRoom(cmd.OutOrStdout(), s)
			})
		},
	}
	a.register(cmd)
	return cmd
}

func printRoom(w io.Writer, s *adminpb.RoomShowResponse) error {
	fmt.Fprintf(w, "room %s   %s   epoch %s   served by %s   heard at once: %s\n", s.Room.GetName(), s.Room.GetSid(), epoch(s.Room), serving(s.Room), heard(s.Room))
	for _, n := range s.Unreachable {
		fmt.Fprintf(w, "node %s did not answer: its part is missing below\n", n)
	}
	fmt.Fprintln(w)
	if err := table(w, "PERSON NODE REGION STATE PUBLISHES RECEIVES PATH", func(row func(...any)) {
		for _, n := range s.Nodes {
			for _, p := range n.Participants {
				row(p.Identity, n.Node, n.Region, p.State, p.Published, p.Subscribed, path(p))
			}
		}
	}); err != nil {
		return err
	}
	fmt.Fprintln(w)
	if err := table(w, "TRACK PERSON WHAT AT FROM WATCHERS DEMAND LAYER PACKETS BYTES LOST KEYFRAMES", func(row func(...any)) {
		for _, n := range s.Nodes {
			for _, t := range n.Tracks {
				from := "client"
				if t.Upstream != "" {
					from = t.Upstream
				}
				what := t.Source + " " + strings.TrimPrefix(strings.TrimPrefix(t.Mime, "video/"), "audio/")
				for _, l := range t.Layers {
					row(t.Sid, t.Identity, strings.ReplaceAll(what, " ", "/"), n.Node, from, t.Subscribers, t.Demand, l.Spatial, l.Packets, humanize.Bytes(l.Bytes), l.Lost, l.Keyframes)
				}
				if len(t.Layers) == 0 {
					row(t.Sid, t.Identity, strings.ReplaceAll(what, " ", "/"), n.Node, from, t.Subscribers, t.Demand, "-", 0, 0, 0, 0)
				}
			}
		}
	}); err != nil {
		return err
	}
	fmt.Fprintln(w)
	return table(w, "CROSSING TRACK PERSON LAYERS PACKETS BYTES SHED REPAIRED LOST", func(row func(...any)) {
		arrived := arrivals(s)
		for _, n := range s.Nodes {
			for _, t := range n.Tracks {
				for _, c := range t.Crossings {
					if c.Direction != "out" {
						continue
					}
					var repaired, lost any = "-", "-" // the receiving node did not say
					if in := arrived[[3]string{n.Node, c.Peer, t.Sid}]; in != nil {
						repaired, lost = in.Repaired, in.Lost
					}
					row(n.Node+"->"+c.Peer, t.Sid, t.Identity, c.Layers, c.Packets, humanize.Bytes(c.Bytes), c.Shed, repaired, lost)
				}
			}
		}
	})
}

// path is what the path to a participant carries, "!" when that is less than it asked for.
func path(p *adminpb.ParticipantStatus) string {
	if p.EstimateBps <= 0 {
		return "-"
	}
	out := humanize.SIWithDigits(p.EstimateBps, 1, "bit/s")
	if p.Short {
		out += " !"
	}
	return strings.ReplaceAll(out, " ", "")
}

// heard is how many voices of a room are heard at once.
func heard(r *adminpb.RoomStatus) string {
	switch {
	case r == nil || r.Loudest == nil:
		return "unknown"
	case *r.Loudest == 0:
		return "all"
	}
	return fmt.Sprintf("the loudest %d", *r.Loudest)
}

// epoch of a room, and whether Raft knows of it.
func epoch(r *adminpb.RoomStatus) string {
	if r.GetUnrecorded() {
		return fmt.Sprintf("%d (unrecorded)", r.GetEpoch())
	}
	return fmt.Sprint(r.GetEpoch())
}

// arrivals finds the receiving end of each crossing, by sender, receiver and track:
// only it knows what was lost.
func arrivals(s *adminpb.RoomShowResponse) map[[3]string]*adminpb.CrossingStatus {
	out := make(map[[3]string]*adminpb.CrossingStatus)
	for _, n := range s.Nodes {
		for _, t := range n.Tracks {
			for _, c := range t.Crossings {
				if c.Direction == "in" {
					out[[3]string{c.Peer, n.Node, t.Sid}] = c
				}
			}
		}
	}
	return out
}

// drops writes counters for people, by name.
func drops(d map[string]uint64) string {
	var out []string
	for _, k := range slices.Sorted(maps.Keys(d)) {
		out = append(out, fmt.Sprintf("%s %d", k, d[k]))
	}
	if len(out) == 0 {
		return "-"
	}
	return strings.Join(out, ", ")
}
