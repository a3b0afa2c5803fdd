// Command maille runs and operates a media mesh for video meetings: one file a
// verb, all work done by package node.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := root().ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "maille:", err)
		os.Exit(1)
	}
}

func root() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "maille",
		Short: "A self-hosted media mesh for video meetings that speaks the LiveKit protocol",
		Long: `maille runs SFU nodes in every region. Nodes find each other by gossip, elect a
leader that places rooms, and relay tracks node to node over QUIC, so that one
meeting spans regions with each participant attached to the nearest node.

Start with:  maille dev`,
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	cmd.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return fmt.Errorf("%w; what there is:  %s --help", err, c.CommandPath())
	})
	cmd.AddCommand(devCommand(), serveCommand(), tokenCommand(), statusCommand(), roomCommand(), certCommand(), configCommand())
	return cmd
}

// one takes exactly one argument, and says how that looks.
func one(what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) == 1 {
			return nil
		}
		return fmt.Errorf("%s needs %s; try:  %s", cmd.CommandPath(), what, strings.TrimSpace(cmd.Example))
	}
}
