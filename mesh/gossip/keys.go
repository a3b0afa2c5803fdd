package gossip

import (
	"errors"
	"fmt"
	"slices"

	"github.com/hashicorp/memberlist"
)

// keyring returns nil when the configuration asks for plaintext.
func keyring(cfg Config) (*memberlist.Keyring, error) {
	if len(cfg.Keys) == 0 {
		if cfg.Plaintext {
			return nil, nil
		}
		return nil, ErrNoKey
	}
	for _, k := range cfg.Keys {
		if err := memberlist.ValidateKey(k); err != nil {
			return nil, fmt.Errorf("gossip: %w", err)
		}
	}
	ring, err := memberlist.NewKeyring(cfg.Keys, cfg.Keys[0])
	if err != nil {
		return nil, fmt.Errorf("gossip: %w", err)
	}
	return ring, nil
}

// SetKeys replaces the encryption keys: the first encrypts, all decrypt. To rotate,
// add the new key last everywhere, then put it first everywhere, then drop the old.
func (g *Gossip) SetKeys(keys [][]byte) error {
	if g.keys == nil {
		return errors.New("gossip: started without keys")
	}
	if len(keys) == 0 {
		return ErrNoKey
	}
	for _, k := range keys {
		if err := memberlist.ValidateKey(k); err != nil {
			return fmt.Errorf("gossip: %w", err)
		}
	}
	for _, k := range keys {
		if err := g.keys.AddKey(k); err != nil {
			return fmt.Errorf("gossip: %w", err)
		}
	}
	if err := g.keys.UseKey(keys[0]); err != nil {
		return fmt.Errorf("gossip: %w", err)
	}
	for _, old := range g.keys.GetKeys() {
		if !slices.ContainsFunc(keys, func(k []byte) bool { return slices.Equal(k, old) }) {
			if err := g.keys.RemoveKey(old); err != nil {
				return fmt.Errorf("gossip: %w", err)
			}
		}
	}
	return nil
}
