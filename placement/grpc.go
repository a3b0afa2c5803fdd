package placement

import (
	"context"

	"google.golang.org/grpc"

	meshpb "maille/proto/mesh"
)

// GRPC returns a Forwarder over the node's client connections. conn returns at once; the
// connection may still be dialling.
func GRPC(conn func(node string) (grpc.ClientConnInterface, error)) Forwarder { return clients(conn) }

type clients func(node string) (grpc.ClientConnInterface, error)

func call[Req, Res any](ctx context.Context, c clients, node string, req Req,
	method func(meshpb.PlacementClient, context.Context, Req, ...grpc.CallOption) (Res, error),
) (Res, error) {
	var none Res
	cc, err := c(node)
	if err != nil {
		return none, &Error{Kind: meshpb.Error_NO_QUORUM, Message: err.Error()}
	}
	res, err := method(meshpb.NewPlacementClient(cc), ctx, req)
	if err != nil {
		return none, FromStatus(err)
	}
	return res, nil
}

func (c clients) Join(ctx context.Context, node string, req *meshpb.JoinRequest) (*meshpb.JoinResponse, error) {
	return call(ctx, c, node, req, meshpb.PlacementClient.Join)
}

func (c clients) Report(ctx context.Context, node string, req *meshpb.ReportRequest) (*meshpb.ReportResponse, error) {
	return call(ctx, c, node, req, meshpb.PlacementClient.Report)
}

func (c clients) Submit(ctx context.Context, node string, req *meshpb.SubmitRequest) (*meshpb.SubmitResponse, error) {
	return call(ctx, c, node, req, meshpb.PlacementClient.Submit)
}

func (c clients) Status(ctx context.Context, node string, req *meshpb.StatusRequest) (*meshpb.StatusResponse, error) {
	return call(ctx, c, node, req, meshpb.PlacementClient.Status)
}

// Server returns the gRPC service other nodes forward to.
func (s *Service) Server() meshpb.PlacementServer { return &server{s: s} }

type server struct {
	meshpb.UnimplementedPlacementServer
	s *Service
}

func (v *server) notLeader() error {
	return Status(&Error{Kind: meshpb.Error_NOT_LEADER, Message: v.s.cfg.Self + " does not lead", Leader: v.s.log.Leader()})
}

func (v *server) Join(ctx context.Context, r *meshpb.JoinRequest) (*meshpb.JoinResponse, error) {
	if !v.s.log.IsLeader() {
		return nil, v.notLeader()
	}
	req, err := v.s.withDefaults(Request{
		Room:     r.GetRoom(),
		Region:   r.GetRegion(),
		Settings: r.GetSettings(),
		Entry:    r.GetEntry(),
		Avoid:    r.GetAvoid(),
		Sid:      r.GetSid(),
	})
	if err != nil {
		return nil, Status(err)
	}
	a, err := v.s.lead(ctx, req)
	if err != nil {
		return nil, Status(err)
	}
	return &meshpb.JoinResponse{Room: a.Record, Node: a.Node, Created: a.Created}, nil
}

func (v *server) Report(ctx context.Context, r *meshpb.ReportRequest) (*meshpb.ReportResponse, error) {
	if peer := v.s.cfg.Peer; peer != nil && peer(ctx) != r.GetNode() {
		return nil, Status(&Error{Kind: meshpb.Error_INVALID, Message: "a node reports for itself only"})
	}
	if !v.s.log.IsLeader() {
		return nil, v.notLeader()
	}
	if _, ok := v.s.cfg.View().Node(r.GetNode()); !ok {
		return nil, Status(&Error{Kind: meshpb.Error_NOT_FOUND, Message: "node is not seen yet"})
	}
	v.s.books.report(r, v.s.now())
	return &meshpb.ReportResponse{}, nil
}

func (v *server) Submit(ctx context.Context, r *meshpb.SubmitRequest) (*meshpb.SubmitResponse, error) {
	if !v.s.log.IsLeader() {
		return nil, v.notLeader()
	}
	res, err := v.s.apply(ctx, r.GetCommand())
	if err != nil {
		return nil, Status(err)
	}
	return &meshpb.SubmitResponse{Result: res}, nil
}

func (v *server) Status(context.Context, *meshpb.StatusRequest) (*meshpb.StatusResponse, error) {
	l := v.s.log
	res := &meshpb.StatusResponse{
		Node:        v.s.cfg.Self,
		Incarnation: l.Incarnation(),
		Initialised: l.Initialised(),
		Leader:      l.Leader(),
		Applied:     l.Applied(),
	}
	for _, m := range l.Servers() {
		res.Servers = append(res.Servers, &meshpb.Server{Node: m.Name, Incarnation: m.Incarnation, Voter: m.Voter})
	}
	return res, nil
}
