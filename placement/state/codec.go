package state

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	meshpb "maille/proto/mesh"
)

// An encoded state is: magic (4 bytes), CRC32C of the body (4, big endian), body
// (a meshpb.StateSnapshot, marshalled deterministically).
const header = 8

var magic = [4]byte{'m', 'l', 's', '1'}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// ErrCorrupt is returned for bytes that are not an intact encoded state.
var ErrCorrupt = errors.New("state: corrupt snapshot")

// Encode returns s as bytes. Equal states encode equally.
func (s *State) Encode() []byte {
	body, err := proto.MarshalOptions{Deterministic: true}.MarshalAppend(make([]byte, header), &meshpb.StateSnapshot{
		Epoch: s.epoch,
		Rooms: s.rooms,
		Nodes: s.nodes,
	})
	if err != nil {
		// Only strings that are not UTF-8 can fail, and validName let none in.
		panic(fmt.Sprintf("state: encode: %v", err))
	}
	copy(body, magic[:])
	binary.BigEndian.PutUint32(body[4:], crc32.Checksum(body[header:], castagnoli))
	return body
}

// Decode reads what Encode wrote. It fails with ErrCorrupt if the checksum, the
// ordering or the epochs do not hold.
func Decode(b []byte) (*State, error) {
	if len(b) < header || [4]byte(b[:4]) != magic {
		return nil, fmt.Errorf("%w: no header", ErrCorrupt)
	}
	if binary.BigEndian.Uint32(b[4:]) != crc32.Checksum(b[header:], castagnoli) {
		return nil, fmt.Errorf("%w: checksum", ErrCorrupt)
	}
	var snap meshpb.StateSnapshot
	if err := proto.Unmarshal(b[header:], &snap); err != nil {
		return nil, fmt.Errorf("%w: %v", ErrCorrupt, err)
	}
	s := &State{epoch: snap.GetEpoch(), rooms: snap.GetRooms(), nodes: snap.GetNodes()}
	if !ordered(s.rooms, (*meshpb.Room).GetName) || !ordered(s.nodes, (*meshpb.NodeRecord).GetName) {
		return nil, fmt.Errorf("%w: order", ErrCorrupt)
	}
	for _, r := range s.rooms {
		s.bytes += proto.Size(r)
		if r.GetEpoch() == 0 || r.GetEpoch() > s.epoch {
			return nil, fmt.Errorf("%w: room %q at epoch %d of %d", ErrCorrupt, r.GetName(), r.GetEpoch(), s.epoch)
		}
	}
	return s, nil
}

func ordered[T any](items []*T, name func(*T) string) bool {
	prev, strict := "", true
	for i, t := range items {
		strict = strict && (i == 0 || strings.Compare(prev, name(t)) < 0)
		prev = name(t)
	}
	return strict && !slices.Contains(items, nil)
}
