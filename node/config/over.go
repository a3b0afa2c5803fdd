package config

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/parser"
)

// FileEnv names the configuration file itself; it is no setting.
const FileEnv = "MAILLE_CONFIG"

// kubernetes matches variables that Kubernetes adds for a service whose name begins
// with maille; they are no settings, whoever named the service.
var kubernetes = regexp.MustCompile(`_SERVICE_(HOST|PORT)|_PORT_[0-9]+_(TCP|UDP)|^MAILLE_([A-Z0-9_]*_)?PORT$`)

// SetEnv puts the MAILLE_* variables of environ ("NAME=value") over c. Lists are
// separated by commas, maps and lists of maps are written as YAML: MAILLE_KEYS="{key: secret}". An empty
// value counts as unset.
func (c *Config) SetEnv(environ []string) error {
	var errs []error
	for _, kv := range slices.Sorted(slices.Values(environ)) {
		name, value, _ := strings.Cut(kv, "=")
		if !strings.HasPrefix(name, "MAILLE_") || name == FileEnv || value == "" || kubernetes.MatchString(name) {
			continue
		}
		i := slices.IndexFunc(fields, func(f Field) bool { return f.Env() == name })
		if i < 0 {
			var names []string
			for _, f := range fields {
				names = append(names, f.Env())
			}
			errs = append(errs, &Error{Origin: name, Text: "unknown variable" + didYouMean(name, names)})
			continue
		}
		errs = append(errs, c.set(fields[i], name, value))
	}
	return errors.Join(errs...)
}

// SetFlag puts a flag over c; name is without dashes in front, as Field.Flag has it.
func (c *Config) SetFlag(name, value string) error {
	i := slices.IndexFunc(fields, func(f Field) bool { return f.Flag() == name && name != "" })
	if i < 0 {
		return &Error{Origin: "--" + name, Text: "unknown flag"}
	}
	return c.set(fields[i], "--"+name, value)
}

func (c *Config) set(f Field, origin, value string) error {
	p := f.ptr(c)
	var err error
	switch p.(type) {
	case *map[string]string, *Networks, *ICEServers:
		file, perr := parser.ParseBytes([]byte(value), 0)
		if perr != nil || len(file.Docs) != 1 || file.Docs[0].Body == nil {
			err = errors.New("must be a map or list as in the file")
			break
		}
		err = setNode(p, file.Docs[0].Body)
	default:
		err = setText(p, value)
	}
	if err != nil {
		what := f.Key
		if !f.Secret {
			what += fmt.Sprintf(": %q", value)
		}
		return &Error{Origin: origin, Text: what + " " + err.Error() + instead(f)}
	}
	if c.origin == nil {
		c.origin = make(map[string]string)
	}
	c.origin[f.Key] = origin
	return nil
}
