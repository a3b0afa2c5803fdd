package main

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"maille/node/auth"
	"maille/node/config"
)

// run executes a command line in this process.
func run(args ...string) (string, error) {
	cmd := root()
	var out bytes.Buffer
	cmd.SetOut(&out)
	cmd.SetArgs(args)
	err := cmd.Execute()
	return strings.TrimSpace(out.String()), err
}

// What was typed wrong is answered with what to type.
func TestMistakesAreAnsweredWithWhatToType(t *testing.T) {
	for line, want := range map[string]string{
		"room show":             "maille room show standup",
		"config check":          "maille config check node.yaml",
		"serve --bogus":         "maille serve --help",
		"token create":          "maille token create --room",
		"token create --ttl no": "maille token create --help",
		"token create -c /nowhere --room r --identity i": "name an existing one",
	} {
		if _, err := run(strings.Fields(line)...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("maille %s: %v, want it to say %q", line, err, want)
		}
	}
}

// What the machine lacks is told with where to look.
func TestMachineTroubleIsExplained(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want string
	}{
		{syscall.EADDRNOTAVAIL, "ip -brief address"},
		{syscall.ENOSPC, "df -h"},
		{fs.ErrPermission, "--data-dir"},
	} {
		if got := explain(fmt.Errorf("wrapped: %w", tt.err), config.Config{}); !strings.Contains(got.Error(), tt.want) {
			t.Errorf("%v: %v", tt.err, got)
		}
	}
}

func TestTokenOfAConfiguredKey(t *testing.T) {
	file := filepath.Join(t.TempDir(), "node.yaml")
	keys := map[string]string{"APIb": strings.Repeat("b", 32), "APIa": strings.Repeat("a", 32)}
	if err := os.WriteFile(file, []byte("keys: {APIb: "+keys["APIb"]+", APIa: "+keys["APIa"]+"}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"APIa", "APIb"} {
		args := []string{"token", "create", "-c", file, "--room", "r", "--identity", "i"}
		if key != "APIa" { // the first is taken by itself
			args = append(args, "--key", key)
		}
		token, err := run(args...)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := (&auth.Verifier{Keys: map[string]string{key: keys[key]}}).Verify(token); err != nil {
			t.Errorf("%s: %v", key, err)
		}
	}
	if _, err := run("token", "create", "-c", file, "--key", "APIc", "--room", "r", "--identity", "i"); err == nil || !strings.Contains(err.Error(), "APIa, APIb") {
		t.Errorf("an unknown key: %v", err)
	}
}
