package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	adminpb "maille/proto/admin"
)

// defaultAdmin is where `maille dev` and `maille serve` listen for operators unless
// told otherwise.
const (
	defaultAdmin     = "127.0.0.1:6789"
	defaultAdminPort = 6789
)

// adminTimeout bounds one question: operators type again rather than wait.
const adminTimeout = 10 * time.Second

type adminFlags struct {
	addr   string
	asJSON bool
}

func (a *adminFlags) register(cmd *cobra.Command) {
	cmd.Flags().StringVar(&a.addr, "admin", defaultAdmin, "admin address of any live node")
	cmd.Flags().BoolVar(&a.asJSON, "json", false, "print JSON")
}

// ask calls a node's admin port and turns failures into what to do next.
func (a *adminFlags) ask(ctx context.Context, f func(context.Context, adminpb.AdminClient) error) error {
	conn, err := grpc.NewClient("passthrough:///"+a.addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return fmt.Errorf("admin address %q: %w", a.addr, err)
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(ctx, adminTimeout)
	defer cancel()
	err = f(ctx, adminpb.NewAdminClient(conn))
	switch status.Code(err) {
	case codes.OK:
		return nil
	case codes.Unavailable, codes.DeadlineExceeded:
		return fmt.Errorf("no node answers on %s; is it running here? Start one with `maille dev`, or name a node's admin port with --admin HOST:PORT", a.addr)
	case codes.NotFound:
		return fmt.Errorf("%s; `maille status` lists the rooms", status.Convert(err).Message())
	}
	return fmt.Errorf("%s", status.Convert(err).Message())
}

func printJSON(w io.Writer, m proto.Message) error {
	b, err := protojson.MarshalOptions{Multiline: true, Indent: "  ", UseProtoNames: true, EmitUnpopulated: true}.Marshal(m)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(w, string(b))
	return err
}
