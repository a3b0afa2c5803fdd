package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"maille/node/config"
)

func configCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "config", Short: "Check a node's configuration, or print a sample"}
	cmd.AddCommand(
		&cobra.Command{
			Use:     "check FILE",
			Short:   "Say whether a file would be accepted, and if not, what to type instead",
			Example: "  maille config check node.yaml",
			Args:    one("a file"),
			RunE: func(cmd *cobra.Command, args []string) error {
				cfg, err := config.Load(args[0])
				if err == nil {
					err = cfg.Validate()
				}
				if err != nil {
					return err
				}
				fmt.Fprintf(cmd.OutOrStdout(), "%s is fine: node %s in region %s\n", args[0], cfg.Name, cfg.Region)
				return nil
			},
		},
		&cobra.Command{
			Use:   "sample",
			Short: "Print a commented configuration file with every setting",
			Args:  cobra.NoArgs,
			RunE: func(cmd *cobra.Command, _ []string) error {
				_, err := cmd.OutOrStdout().Write(config.Sample())
				return err
			},
		},
	)
	return cmd
}
