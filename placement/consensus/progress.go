package consensus

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"sync"
)

// progress records outside the store how far it has come: the last log index and the
// highest term. A store that has less at the next start is an old copy, or lost its
// newest page to a bad sector (bbolt then silently falls back to the one before), and
// would vote or acknowledge against its word. Each record is written after the store
// took the change and is not synced: after a power cut it may be behind, never ahead.
type progress struct {
	mu    sync.Mutex
	f     *os.File // under mu
	index uint64   // under mu
	high  uint64   // under mu: term
}

// A record is index, term (8 bytes each) and CRC32C, big endian.
const progressSize = 20

func openProgress(path string) (*progress, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	p := &progress{f: f}
	p.index, p.high, _ = readProgress(path)
	return p, nil
}

func (p *progress) log(index uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.index = index
	p.save()
}

func (p *progress) term(term uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.high = term
	p.save()
}

// save must be called with mu held. A record that cannot be written only weakens the
// next start's check.
func (p *progress) save() {
	b := binary.BigEndian.AppendUint64(make([]byte, 0, progressSize), p.index)
	b = binary.BigEndian.AppendUint64(b, p.high)
	p.f.WriteAt(binary.BigEndian.AppendUint32(b, crc32.Checksum(b, castagnoli)), 0)
}

func (p *progress) close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.f.Close()
}

// readProgress reports false for a record that is absent or torn.
func readProgress(path string) (index, term uint64, ok bool) {
	b, err := os.ReadFile(path)
	if err != nil || len(b) != progressSize {
		return 0, 0, false
	}
	if binary.BigEndian.Uint32(b[16:]) != crc32.Checksum(b[:16], castagnoli) {
		return 0, 0, false
	}
	return binary.BigEndian.Uint64(b), binary.BigEndian.Uint64(b[8:]), true
}

// checkProgress fails with errCorrupt for a store behind its own record.
func checkProgress(path string, last, term uint64) error {
	index, high, ok := readProgress(path)
	if !ok {
		if _, err := os.Stat(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("consensus: %w", err)
		}
		return nil
	}
	if last < index || term < high {
		return fmt.Errorf("%w: store at index %d, term %d, on record %d, %d", errCorrupt, last, term, index, high)
	}
	return nil
}
