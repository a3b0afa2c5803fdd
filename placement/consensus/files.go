package consensus

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
	"go.etcd.io/bbolt"
	bbolterrors "go.etcd.io/bbolt/errors"
)

// A store's directory holds:
//
//	raft.db      log and votes
//	snapshots/   raft's snapshots
//	incarnation  the store's identity; its presence says that raft.db was initialised
//	progress     how far the store had come, see progress
//	damaged/     the last store that was set aside
const (
	dbFile          = "raft.db"
	snapshotDir     = "snapshots" // raft's name
	incarnationFile = "incarnation"
	progressFile    = "progress"
	damagedDir      = "damaged"
)

// keyIncarnation ties raft.db to the incarnation file: a store swapped, emptied or
// restored from another life does not match it.
var keyIncarnation = []byte("Incarnation")

// lockWait is how long another process may hold the store before Open fails.
const lockWait = time.Second

// keepSnapshots is how many snapshots stay: the newest, and one to fall back on.
const keepSnapshots = 2

type files struct {
	store       *checked
	snapshots   raft.SnapshotStore
	incarnation string
	damaged     bool // this one replaces a store that could not be trusted
	close       func() error
}

// openFiles opens the store in cfg.Dir, or a new one if there is none or it is damaged.
func openFiles(cfg Config) (*files, error) {
	if cfg.Dir == "" {
		return memory(cfg), nil
	}
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("consensus: %w", err)
	}
	_, noMarker := os.Stat(filepath.Join(cfg.Dir, incarnationFile))
	_, noDB := os.Stat(filepath.Join(cfg.Dir, dbFile))
	if errors.Is(noMarker, fs.ErrNotExist) && errors.Is(noDB, fs.ErrNotExist) {
		return create(cfg)
	}
	f, err := reopen(cfg)
	if errors.Is(err, errCorrupt) {
		cfg.Log.Error("store is damaged, beginning a new one", "dir", cfg.Dir, "err", err)
		return renewFiles(cfg)
	}
	return f, err
}

// memory returns a store that ends with the process.
func memory(cfg Config) *files {
	return &files{
		store:       newChecked(raft.NewInmemStore(), nil, cfg.Disk),
		snapshots:   raft.NewInmemSnapshotStore(),
		incarnation: newIncarnation(),
		close:       func() error { return nil },
	}
}

func newIncarnation() string { return strings.ToLower(rand.Text()[:13]) }

// renewFiles sets what is in cfg.Dir aside, keeping only the last store so treated, and
// begins a new one.
func renewFiles(cfg Config) (*files, error) {
	aside := filepath.Join(cfg.Dir, damagedDir)
	if err := os.RemoveAll(aside); err != nil {
		return nil, fmt.Errorf("consensus: %w", err)
	}
	if err := os.Mkdir(aside, 0o700); err != nil {
		return nil, fmt.Errorf("consensus: %w", err)
	}
	// The marker goes last: while it is there without a store, the store is damaged.
	for _, name := range []string{dbFile, snapshotDir, progressFile, incarnationFile} {
		err := os.Rename(filepath.Join(cfg.Dir, name), filepath.Join(aside, name))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("consensus: %w", err)
		}
	}
	f, err := create(cfg)
	if err == nil {
		f.damaged = true
	}
	return f, err
}

func create(cfg Config) (*files, error) {
	f, err := open(cfg)
	if err != nil {
		return nil, err
	}
	f.incarnation = newIncarnation()
	if err := f.store.Set(keyIncarnation, []byte(f.incarnation)); err != nil {
		f.close()
		return nil, fmt.Errorf("consensus: %w", err)
	}
	// Raft has not seen the store yet, so it has promised nothing before the marker is
	// durable.
	if err := writeFile(cfg.Dir, incarnationFile, f.incarnation+"\n"); err != nil {
		f.close()
		return nil, fmt.Errorf("consensus: %w", err)
	}
	return f, nil
}

// reopen opens an existing store after verifying all of it. errCorrupt means that it
// must not be used.
func reopen(cfg Config) (*files, error) {
	marker, err := os.ReadFile(filepath.Join(cfg.Dir, incarnationFile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("consensus: %w", err)
	}
	incarnation := strings.TrimSpace(string(marker))
	if incarnation == "" {
		return nil, fmt.Errorf("%w: no incarnation", errCorrupt)
	}
	if err := verify(cfg.Dir, incarnation); err != nil {
		return nil, err
	}
	f, err := open(cfg)
	if err != nil {
		return nil, err
	}
	f.incarnation = incarnation
	return f, nil
}

func open(cfg Config) (_ *files, err error) {
	defer caught(&err)()
	db, err := openDB(cfg.Dir, false)
	if err != nil {
		return nil, err
	}
	snapshots, err := raft.NewFileSnapshotStoreWithLogger(cfg.Dir, keepSnapshots, hcLogger(cfg.Log))
	if err != nil {
		db.Close()
		return nil, fmt.Errorf("consensus: snapshots: %w", err)
	}
	p, err := openProgress(filepath.Join(cfg.Dir, progressFile))
	if err != nil {
		db.Close()
		return nil, fmt.Errorf("consensus: %w", err)
	}
	return &files{
		store:     newChecked(db, p, cfg.Disk),
		snapshots: snapshots,
		close:     func() error { return errors.Join(db.Close(), p.close()) },
	}, nil
}

func openDB(dir string, readOnly bool) (*raftboltdb.BoltStore, error) {
	db, err := raftboltdb.New(raftboltdb.Options{
		Path: filepath.Join(dir, dbFile),
		BoltOptions: &bbolt.Options{
			Timeout:      lockWait,
			FreelistType: bbolt.FreelistMapType,
			ReadOnly:     readOnly,
		},
		MsgpackUseNewTimeFormat: true,
	})
	if err == nil {
		return db, nil
	}
	var path *fs.PathError
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("%w: no %s", errCorrupt, dbFile)
	case errors.As(err, &path), errors.Is(err, bbolterrors.ErrTimeout):
		return nil, fmt.Errorf("consensus: %w", err)
	default:
		return nil, fmt.Errorf("%w: %v", errCorrupt, err)
	}
}

// verify reads every entry of a store through its checksum. It opens the file read-only
// first: opening to write makes bbolt act on its free list, which may be what is damaged.
func verify(dir, incarnation string) (err error) {
	if st, err := os.Stat(filepath.Join(dir, dbFile)); err != nil || st.Size() == 0 {
		return fmt.Errorf("%w: no or empty %s", errCorrupt, dbFile)
	}
	defer caught(&err)()
	db, err := openDB(dir, true)
	if err != nil {
		return err
	}
	// After a panic inside bbolt, Close may wait for a transaction that never ends; the
	// file is about to be set aside and the descriptor is all that leaks.
	clean := false
	defer func() {
		if clean {
			db.Close()
		}
	}()
	err = verifyDB(newChecked(db, nil, nil), filepath.Join(dir, progressFile), incarnation)
	clean = true
	return err
}

func verifyDB(s *checked, progress, incarnation string) error {
	id, err := s.get(keyIncarnation)
	if err != nil || string(id) != incarnation {
		return fmt.Errorf("%w: store is of incarnation %q, not %q", errCorrupt, id, incarnation)
	}
	term, err := s.GetUint64([]byte(keyTerm))
	if err != nil && !errors.Is(err, errNotFound) {
		return err
	}
	for _, key := range []string{"LastVoteTerm", "LastVoteCand"} {
		if _, err := s.Get([]byte(key)); err != nil && !errors.Is(err, errNotFound) {
			return err
		}
	}
	first, err := s.FirstIndex()
	if err != nil {
		return fmt.Errorf("%w: %v", errCorrupt, err)
	}
	last, err := s.LastIndex()
	if err != nil {
		return fmt.Errorf("%w: %v", errCorrupt, err)
	}
	var entry raft.Log
	for i := first; i <= last && last > 0; i++ {
		if err := s.GetLog(i, &entry); err != nil {
			return fmt.Errorf("%w: entry %d of %d to %d: %v", errCorrupt, i, first, last, err)
		}
	}
	return checkProgress(progress, last, term)
}

// writeFile replaces a small file durably.
func writeFile(dir, name, content string) error {
	tmp, err := os.CreateTemp(dir, name+".*")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.WriteString(content)
	if err = errors.Join(err, tmp.Sync(), tmp.Close()); err != nil {
		return err
	}
	if err := os.Rename(tmp.Name(), filepath.Join(dir, name)); err != nil {
		return err
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
