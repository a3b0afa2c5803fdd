package config

import (
	"flag"
	"net/netip"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var write = flag.Bool("write", false, "write deploy/maille.yaml")

var ignoreOrigin = cmpopts.IgnoreUnexported(Config{})

func TestSampleIsDefault(t *testing.T) {
	c, err := Parse("maille.yaml", Sample())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(Default(), c, ignoreOrigin, cmpopts.EquateComparable(netip.Prefix{})); diff != "" {
		t.Error(diff)
	}
}

func TestDeployedSample(t *testing.T) {
	const path = "../../deploy/maille.yaml"
	if *write {
		if err := os.WriteFile(path, Sample(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(Sample()), string(got)); diff != "" {
		t.Errorf("%s is not Sample(); go test ./node/config -write\n%s", path, diff)
	}
}

// Every field of the struct is in the table, under the key of its YAML tag.
func TestTableIsComplete(t *testing.T) {
	var c Config
	want := make(map[string]any)
	var walk func(prefix string, v reflect.Value)
	walk = func(prefix string, v reflect.Value) {
		for i := range v.NumField() {
			f := v.Type().Field(i)
			if !f.IsExported() {
				continue
			}
			key := prefix + f.Tag.Get("yaml")
			if f.Type.Kind() == reflect.Struct {
				walk(key+".", v.Field(i))
				continue
			}
			want[key] = v.Field(i).Addr().Interface()
		}
	}
	walk("", reflect.ValueOf(&c).Elem())
	for _, f := range Fields() {
		if want[f.Key] != f.ptr(&c) {
			t.Errorf("%s points to another field than its YAML tag", f.Key)
		}
		delete(want, f.Key)
		if f.Doc == "" || !strings.HasSuffix(f.Doc, ".") || f.Example == "" {
			t.Errorf("%s needs a sentence and an example", f.Key)
		}
	}
	if len(want) > 0 {
		t.Errorf("not in the table: %v", want)
	}
}

// What a message or the sample tells people to write must work.
func TestExamplesWork(t *testing.T) {
	for _, f := range Fields() {
		example := f.Example
		if f.Key == "gossip_keys" {
			continue // it is a command
		}
		if !strings.Contains(example, "\n") {
			example = strings.Repeat("  ", strings.Count(f.Key, ".")) + f.Key[strings.LastIndex(f.Key, ".")+1:] + ": " + example
			if section, _, nested := strings.Cut(f.Key, "."); nested {
				example = section + ":\n" + example
			}
		}
		if _, err := Parse("x", []byte(example)); err != nil {
			t.Errorf("%s: %v", f.Key, err)
		}
	}
}
