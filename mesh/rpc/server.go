package rpc

import (
	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"

	"maille/mesh/identity"
)

// NewServer returns a gRPC server for (*Mux).GRPC, with the limits of this package
// and no reflection. Further options may narrow them or add interceptors.
func NewServer(id *identity.Identity, opts ...grpc.ServerOption) *grpc.Server {
	return grpc.NewServer(append([]grpc.ServerOption{
		grpc.Creds(serverCreds{id}),
		grpc.MaxRecvMsgSize(MaxMessage),
		grpc.MaxSendMsgSize(MaxMessage),
		grpc.MaxConcurrentStreams(maxStreams),
		grpc.MaxHeaderListSize(maxHeaders),
		grpc.ConnectionTimeout(handshakeTimeout),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: serverPing, Timeout: pingTimeout}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: minPing, PermitWithoutStream: true}),
		grpc.WaitForHandlers(true),
	}, opts...)...)
}
