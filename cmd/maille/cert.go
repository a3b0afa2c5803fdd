package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"maille/mesh/identity"
)

func certCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "cert",
		Short: "Make the certificates by which nodes know each other",
		Long: `Every connection between nodes is TLS with certificates from the cluster's own
authority. Keep the authority's directory off the nodes.`,
		Example: `  maille cert ca --cluster maille --dir ca
  maille cert node --ca ca --name paris-1 --region paris --dir paris-1/certs`,
	}
	cmd.AddCommand(certCACommand(), certNodeCommand())
	return cmd
}

func certCACommand() *cobra.Command {
	var cluster, dir string
	cmd := &cobra.Command{
		Use:   "ca",
		Short: "Make a cluster's authority",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ca, err := identity.NewCA(cluster, 0)
			if err != nil {
				return err
			}
			if err := ca.SaveDir(dir); err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "authority of cluster %s written to %s (ca.crt, ca.key); keep ca.key off the nodes\n", cluster, dir)
			return nil
		},
	}
	cmd.Flags().StringVar(&cluster, "cluster", "maille", "cluster name")
	cmd.Flags().StringVar(&dir, "dir", "ca", "directory to write to")
	return cmd
}

func certNodeCommand() *cobra.Command {
	var (
		caDir, name, region, dir string
		hosts                    []string
		ttl                      time.Duration
	)
	cmd := &cobra.Command{
		Use:   "node",
		Short: "Make a node's certificate",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if name == "" || region == "" || dir == "" {
				return fmt.Errorf("a node's certificate needs a name, a region and a directory; try:  maille cert node --ca %s --name paris-1 --region paris --dir paris-1/certs", caDir)
			}
			ca, err := identity.LoadCA(caDir)
			if err != nil {
				return fmt.Errorf("%w\nmake an authority first:  maille cert ca --dir %s", err, caDir)
			}
			id, err := ca.Issue(name, region, hosts, ttl)
			if err != nil {
				return err
			}
			if err := id.SaveDir(dir); err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "certificate of node %s written to %s, valid until %s\n", name, dir, id.Expires().Format(time.DateOnly))
			return nil
		},
	}
	cmd.Flags().StringVar(&caDir, "ca", "ca", "directory of the authority")
	cmd.Flags().StringVar(&name, "name", "", "node name")
	cmd.Flags().StringVar(&region, "region", "", "region the node stands in")
	cmd.Flags().StringVar(&dir, "dir", "", "directory to write to (the node's certs_dir)")
	cmd.Flags().StringSliceVar(&hosts, "host", nil, "further DNS names or addresses in the certificate")
	cmd.Flags().DurationVar(&ttl, "ttl", identity.DefaultTTL, "validity")
	return cmd
}
