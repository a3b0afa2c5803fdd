package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"maille/node/auth"
	"maille/node/config"
)

func tokenCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "token", Short: "Make access tokens for clients"}
	cmd.AddCommand(tokenCreateCommand())
	return cmd
}

func tokenCreateCommand() *cobra.Command {
	var (
		key, secret, room, identity, name, metadata string
		ttl                                         time.Duration
		admin, hidden, listenOnly, updateOwn        bool
		asJSON                                      bool
		file                                        string
	)
	cmd := &cobra.Command{
		Use:   "create",
		Short: "Sign a token that lets one identity join one room",
		Example: `  maille token create --room standup --identity ann                  # for maille dev
  maille token create -c node.yaml --room standup --identity ann     # with a key of that file`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if room == "" || identity == "" {
				return fmt.Errorf("a token needs a room and an identity; try:  maille token create --room standup --identity ann")
			}
			if file != "" {
				var err error
				if key, secret, err = keyOf(file, cmd.Flags().Changed("key"), key); err != nil {
					return err
				}
			}
			can := !listenOnly
			c := &auth.Claims{
				Identity: identity, Name: name, Metadata: metadata,
				Video: &auth.Grants{
					RoomJoin: true, Room: room, RoomAdmin: admin, Hidden: hidden,
					CanPublish: &can, CanUpdateOwnMetadata: &updateOwn,
				},
			}
			token, err := auth.Mint(key, secret, c, ttl)
			if err != nil {
				return err
			}
			if asJSON {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(map[string]any{
					"token": token, "room": room, "identity": identity, "expires_in_s": int(ttl.Seconds()),
				})
			}
			fmt.Fprintln(cmd.OutOrStdout(), token)
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVarP(&file, "config", "c", "", "a node's configuration file, whose key signs")
	f.StringVar(&key, "key", auth.DevKey, "API key that signs (the dev key works with maille dev only)")
	f.StringVar(&secret, "secret", auth.DevSecret, "secret of the key")
	f.StringVar(&room, "room", "", "room the token is for")
	f.StringVar(&identity, "identity", "", "who joins; unique in the room")
	f.StringVar(&name, "name", "", "display name")
	f.StringVar(&metadata, "metadata", "", "participant metadata")
	f.DurationVar(&ttl, "ttl", auth.DefaultTTL, "how long the token is valid")
	f.BoolVar(&admin, "admin", false, "may administer the room")
	f.BoolVar(&hidden, "hidden", false, "invisible to others")
	f.BoolVar(&listenOnly, "listen-only", false, "may not publish")
	f.BoolVar(&updateOwn, "update-own-metadata", false, "may change its own name, metadata and attributes")
	f.BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// keyOf finds a key in a node's configuration: the one that is named, else the first.
func keyOf(file string, named bool, key string) (string, string, error) {
	cfg, err := config.Load(file)
	if err != nil {
		return "", "", err
	}
	all := slices.Sorted(maps.Keys(cfg.Keys))
	if len(all) == 0 {
		return "", "", fmt.Errorf("%s has no keys; maille config check %s says how they are written", file, file)
	}
	if !named {
		key = all[0]
	}
	secret, ok := cfg.Keys[key]
	if !ok {
		return "", "", fmt.Errorf("%s has no key %q; it has %s", file, key, strings.Join(all, ", "))
	}
	return key, secret, nil
}
