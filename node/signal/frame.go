package signal

import (
	"fmt"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"maille/proto/livekit"
)

// decode reads one frame: protobuf, or protojson in a text frame. It returns nil and
// no error for a request newer than this node knows, which protocol has it ignore.
func decode(text bool, b []byte) (*livekit.SignalRequest, error) {
	req := new(livekit.SignalRequest)
	var err error
	if text {
		err = protojson.UnmarshalOptions{DiscardUnknown: true}.Unmarshal(b, req)
	} else {
		err = proto.UnmarshalOptions{DiscardUnknown: true}.Unmarshal(b, req)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrBadMessage, err)
	}
	if req.Message == nil {
		return nil, nil
	}
	return req, nil
}

func encode(text bool, m *livekit.SignalResponse) ([]byte, error) {
	if text {
		return protojson.Marshal(m)
	}
	return proto.Marshal(m)
}
