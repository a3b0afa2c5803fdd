package main

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"maille/node/auth"
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
	)
	cmd := &cobra.Command{
		Use:     "create",
		Short:   "Sign a token that lets one identity join one room",
		Example: "  maille token create --room standup --identity ann",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if room == "" || identity == "" {
				return fmt.Errorf("a token needs a room and an identity; try:  maille token create --room standup --identity ann")
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
