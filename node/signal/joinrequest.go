package signal

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"io"
	"strings"

	"google.golang.org/protobuf/proto"

	"maille/proto/livekit"
)

// decodeJoinRequest reads the join_request parameter of /rtc/v1: a WrappedJoinRequest
// in base64url or base64, padded or not, holding a JoinRequest that may be gzipped.
func decodeJoinRequest(s string) (*livekit.JoinRequest, error) {
	if s == "" {
		return nil, badRequest("join_request is required")
	}
	s = strings.TrimRight(s, "=")
	s = strings.NewReplacer("+", "-", "/", "_").Replace(s)
	raw, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil {
		return nil, badRequest("join_request is not base64")
	}
	wrapped := new(livekit.WrappedJoinRequest)
	if err := proto.Unmarshal(raw, wrapped); err != nil {
		return nil, badRequest("join_request is not a WrappedJoinRequest")
	}
	inner := wrapped.JoinRequest
	switch wrapped.Compression {
	case livekit.WrappedJoinRequest_NONE:
	case livekit.WrappedJoinRequest_GZIP:
		if inner, err = inflate(inner); err != nil {
			return nil, err
		}
	default:
		return nil, badRequest("join_request has an unknown compression")
	}
	if len(inner) > maxJoinRequest {
		return nil, badRequest("join_request is longer than %d bytes", maxJoinRequest)
	}
	req := new(livekit.JoinRequest)
	if err := proto.Unmarshal(inner, req); err != nil {
		return nil, badRequest("join_request holds no JoinRequest")
	}
	return req, nil
}

// inflate reads at most one byte more than a join request may have, and no more than
// honest text is compressed.
func inflate(b []byte) ([]byte, error) {
	z, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		return nil, badRequest("join_request is not gzip")
	}
	most := min(maxJoinRequest, maxInflation*len(b))
	out, err := io.ReadAll(io.LimitReader(z, int64(most)+1))
	if err != nil {
		return nil, badRequest("join_request is damaged gzip")
	}
	if len(out) > most && most < maxJoinRequest {
		return nil, badRequest("join_request is compressed more than %d times", maxInflation)
	}
	return out, nil
}
