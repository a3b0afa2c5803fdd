package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"maille/mesh"
	"maille/mesh/identity"
	"maille/node"
	"maille/node/config"
	"maille/node/obs"
)

func serveCommand() *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run one node",
		Long: `Run one node of a mesh. Settings come from the file, then from MAILLE_* variables,
then from flags. Make certificates with:  maille cert ca  and  maille cert node`,
		Example: "  maille serve -c node.yaml",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := loadConfig(file, cmd.Flags())
			if err != nil {
				return err
			}
			return serve(cmd.Context(), cmd.OutOrStdout(), cfg)
		},
	}
	cmd.Flags().StringVarP(&file, "config", "c", "", "configuration file (YAML)")
	configFlags(cmd.Flags())
	return cmd
}

// configFlags adds a flag for every setting that is not a secret.
func configFlags(fs *pflag.FlagSet) {
	for _, f := range config.Fields() {
		if f.Flag() != "" {
			fs.String(f.Flag(), "", f.Doc)
		}
	}
}

func loadConfig(file string, fs *pflag.FlagSet) (config.Config, error) {
	cfg, err := config.Load(file)
	if err != nil {
		return cfg, err
	}
	fs.Visit(func(f *pflag.Flag) {
		for _, field := range config.Fields() {
			if field.Flag() == f.Name && err == nil {
				err = cfg.SetFlag(f.Name, f.Value.String())
			}
		}
	})
	if err != nil {
		return cfg, err
	}
	return cfg, cfg.Validate()
}

// serve runs one node until ctx ends.
func serve(ctx context.Context, out io.Writer, cfg config.Config) error {
	log := obs.NewLogger(os.Stderr, cfg.Level())
	id, err := identity.LoadDir(cfg.CertsDir)
	if err != nil {
		return fmt.Errorf("%w\nmake certificates with:  maille cert ca --dir DIR  and  maille cert node --ca DIR --name %s --region %s --dir %s",
			err, cfg.Name, cfg.Region, cfg.CertsDir)
	}
	if id.Name() != cfg.Name {
		return fmt.Errorf("the certificate in %s is for node %q, but this node's name is %q; set name: %s or make another certificate",
			cfg.CertsDir, id.Name(), cfg.Name, id.Name())
	}
	if err := os.MkdirAll(cfg.DataDir, 0o700); err != nil {
		return fmt.Errorf("data_dir: %w; create it, or name another with --data-dir", err)
	}
	n, err := node.New(node.Options{Config: cfg, Identity: id, Log: log})
	if err != nil {
		return explain(err, cfg)
	}
	fmt.Fprintf(out, "maille %s: node %s in %s serves %s\n", node.Version(), cfg.Name, cfg.Region, n.SignalURL())
	err = n.Run(ctx)
	fmt.Fprintln(out, "stopping: clients are told, the node leaves")
	return errors.Join(err, n.Close())
}

// explain tells an operator what to type when this machine lacks what a node needs.
func explain(err error, cfg config.Config) error {
	var used *mesh.PortInUseError
	switch {
	case errors.As(err, &used):
		return fmt.Errorf("%w\nfind who holds it with:  ss -lpn 'sport = :%s'  or set another port (maille config sample lists them)", err, used.Port())
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return fmt.Errorf("%w\nthis machine has not the address %s; those it has:  ip -brief address  and set bind to one of them, or to nothing for all", err, cfg.Bind)
	case errors.Is(err, syscall.ENOSPC):
		return fmt.Errorf("%w\nthe disk of %s is full; see:  df -h %s  or name another directory with --data-dir", err, cfg.DataDir, cfg.DataDir)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w\nrun as a user who may, or name another directory with --data-dir, or ports from 1024 on", err)
	}
	return err
}
