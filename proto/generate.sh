#!/bin/sh
# Regenerates every .pb.go under proto/. Needs protoc (Debian: protobuf-compiler).
set -eu
cd "$(dirname "$0")"
bin=$(mktemp -d)
trap 'rm -rf "$bin"' EXIT
go build -modfile=tools.mod -o "$bin/" google.golang.org/protobuf/cmd/protoc-gen-go google.golang.org/grpc/cmd/protoc-gen-go-grpc
PATH="$bin:$PATH"
for dir in livekit link mesh admin; do
	ls "$dir"/*.proto >/dev/null 2>&1 || continue
	protoc -I . --go_out=. --go_opt=module=maille/proto --go-grpc_out=. --go-grpc_opt=module=maille/proto "$dir"/*.proto
done
