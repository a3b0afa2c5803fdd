package consensus

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"runtime"
	"runtime/debug"
	"sync/atomic"

	"github.com/hashicorp/raft"
)

// errCorrupt means that what the store returned is not what was written.
var errCorrupt = errors.New("consensus: corrupt store")

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// backend is a raft-boltdb or in-memory store.
type backend interface {
	raft.LogStore
	raft.StableStore
}

// checked puts a CRC32C in every log entry and every stable value, and verifies it on
// each read: bbolt itself has no checksum on data pages. It also is what stands between
// raft and a failing disk. Raft panics where its term cannot be saved or an entry
// cannot be read; checked then gives raft up and ends raft's goroutine instead.
type checked struct {
	backend
	disk     func(op string) error // tests; may be nil
	progress *progress             // nil in memory

	busy *stopwatch // the write in progress
	// fail is set once raft runs on the store; before, errors are returned.
	fail atomic.Pointer[func(error)]
}

func newChecked(b backend, p *progress, disk func(op string) error) *checked {
	return &checked{backend: b, progress: p, disk: disk, busy: newStopwatch()}
}

// armed makes errors that raft would panic on give raft up instead.
func (s *checked) armed(giveUp func(error)) { s.fail.Store(&giveUp) }

// fatal ends the calling goroutine, one of raft's, once raft is given up.
func (s *checked) fatal(err error) error {
	if f := s.fail.Load(); f != nil {
		(*f)(err)
		runtime.Goexit()
	}
	return err
}

// write runs a write with the watchdog's stamp on it; a panic of bbolt's or a fault in
// its mapping becomes an error.
func (s *checked) write(op string, f func() error) (err error) {
	s.busy.start()
	defer s.busy.stop()
	defer caught(&err)()
	if s.disk != nil {
		if err := s.disk(op); err != nil {
			return err
		}
	}
	return f()
}

// caught turns panics and faults of the calling function into err:
//
//	defer caught(&err)()
func caught(err *error) func() {
	old := debug.SetPanicOnFault(true)
	return func() {
		debug.SetPanicOnFault(old)
		if p := recover(); p != nil {
			*err = fmt.Errorf("%w: %v", errCorrupt, p)
		}
	}
}

// IsMonotonic makes raft drop the old log when it restores a snapshot, so that a log
// never has gaps and a missing entry is damage.
func (s *checked) IsMonotonic() bool { return true }

func (s *checked) GetLog(index uint64, l *raft.Log) error {
	err := s.getLog(index, l)
	if errors.Is(err, errCorrupt) {
		return s.fatal(err)
	}
	return err
}

func (s *checked) getLog(index uint64, l *raft.Log) (err error) {
	defer caught(&err)()
	if err := s.backend.GetLog(index, l); err != nil {
		if errors.Is(err, raft.ErrLogNotFound) {
			return err
		}
		return fmt.Errorf("%w: entry %d: %v", errCorrupt, index, err)
	}
	if l.Index != index || len(l.Extensions) != 4 || binary.BigEndian.Uint32(l.Extensions) != sumLog(l) {
		return fmt.Errorf("%w: entry %d", errCorrupt, index)
	}
	l.Extensions = nil
	return nil
}

func (s *checked) StoreLog(l *raft.Log) error { return s.StoreLogs([]*raft.Log{l}) }

// StoreLogs adds the checksum in copies: raft sends its own on to other servers, each
// of which computes its own.
func (s *checked) StoreLogs(logs []*raft.Log) error {
	sealed := make([]*raft.Log, len(logs))
	for i, l := range logs {
		c := *l
		c.Extensions = binary.BigEndian.AppendUint32(nil, sumLog(l))
		sealed[i] = &c
	}
	err := s.write("log", func() error { return s.backend.StoreLogs(sealed) })
	if err == nil && s.progress != nil && len(logs) > 0 {
		s.progress.log(logs[len(logs)-1].Index)
	}
	return err
}

func (s *checked) DeleteRange(lo, hi uint64) error {
	if s.progress != nil {
		if last, err := s.backend.LastIndex(); err == nil && hi >= last {
			// Before the deletion: what is on record must never be ahead of the store.
			s.progress.log(lo - 1)
		}
	}
	return s.write("delete", func() error { return s.backend.DeleteRange(lo, hi) })
}

// sumLog covers all of an entry that raft acts upon.
func sumLog(l *raft.Log) uint32 {
	var head [17]byte
	binary.BigEndian.PutUint64(head[:], l.Index)
	binary.BigEndian.PutUint64(head[8:], l.Term)
	head[16] = byte(l.Type)
	return crc32.Update(crc32.Checksum(head[:], castagnoli), castagnoli, l.Data)
}

// Set stores a value, such as raft's vote. Raft panics when it cannot.
func (s *checked) Set(key, val []byte) error {
	err := s.write("stable", func() error {
		return s.backend.Set(key, binary.BigEndian.AppendUint32(val[:len(val):len(val)], sumValue(key, val)))
	})
	if err != nil {
		return s.fatal(err)
	}
	return nil
}

func (s *checked) Get(key []byte) ([]byte, error) {
	val, err := s.get(key)
	if errors.Is(err, errCorrupt) {
		return nil, s.fatal(err)
	}
	return val, err
}

func (s *checked) get(key []byte) (val []byte, err error) {
	defer caught(&err)()
	b, err := s.backend.Get(key)
	if err != nil || len(b) == 0 {
		return nil, errNotFound
	}
	if len(b) < 4 {
		return nil, fmt.Errorf("%w: value %q", errCorrupt, key)
	}
	val = b[:len(b)-4]
	if binary.BigEndian.Uint32(b[len(val):]) != sumValue(key, val) {
		return nil, fmt.Errorf("%w: value %q", errCorrupt, key)
	}
	return val, nil
}

// errNotFound has the text raft looks for.
var errNotFound = errors.New("not found")

func (s *checked) SetUint64(key []byte, val uint64) error {
	if err := s.Set(key, binary.BigEndian.AppendUint64(nil, val)); err != nil {
		return err
	}
	if s.progress != nil && string(key) == keyTerm {
		s.progress.term(val)
	}
	return nil
}

func (s *checked) GetUint64(key []byte) (uint64, error) {
	b, err := s.Get(key)
	if err != nil {
		return 0, err
	}
	if len(b) != 8 {
		return 0, s.fatal(fmt.Errorf("%w: value %q", errCorrupt, key))
	}
	return binary.BigEndian.Uint64(b), nil
}

// keyTerm is raft's key for the highest term seen.
const keyTerm = "CurrentTerm"

func sumValue(key, val []byte) uint32 {
	return crc32.Update(crc32.Checksum(key, castagnoli), castagnoli, val)
}
