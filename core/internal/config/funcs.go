// SPDX-License-Identifier: Apache-2.0

package config

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
)

// secretMark marks values that must not be printed.
type secretMark struct{}

// functions is what expressions may call.
type functions struct {
	env      func(string) (string, bool)
	readFile func(string) ([]byte, error)
	dir      string // the configuration's folder
}

func newFunctions(opts Options, dir string) functions {
	f := functions{env: opts.Env, readFile: opts.ReadFile, dir: dir}
	if f.env == nil {
		f.env = os.LookupEnv
	}
	if f.readFile == nil {
		f.readFile = os.ReadFile
	}
	return f
}

func (f functions) context() *hcl.EvalContext {
	return &hcl.EvalContext{Functions: map[string]function.Function{
		"env":           textFunction(f.envValue, param("name"), param("default")),
		"split":         splitFunction(),
		"backoff":       backoffFunction(),
		"cidr_contains": cidrFunction(),
		"secret":        secretFunction(f.secret),
	}}
}

func param(name string) function.Parameter {
	return function.Parameter{Name: name, Type: cty.String}
}

// textFunction makes a function of one text and optional further ones.
func textFunction(call func(name string, rest []cty.Value) (string, error), first, rest function.Parameter) function.Function {
	return function.New(&function.Spec{
		Params: []function.Parameter{first}, VarParam: &rest, Type: function.StaticReturnType(cty.String),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			s, err := call(args[0].AsString(), args[1:])
			return cty.StringVal(s), err
		},
	})
}

// envValue is env(name, default): the variable, or default when it is not set.
func (f functions) envValue(name string, rest []cty.Value) (string, error) {
	if len(rest) > 1 {
		return "", fmt.Errorf("env takes a name and one default")
	}
	if s, ok := f.env(name); ok {
		return s, nil
	}
	if len(rest) == 0 {
		return "", fmt.Errorf("the environment variable %s is not set; set it, or write a default: env(%q, \"…\")", name, name)
	}
	return rest[0].AsString(), nil
}

// splitFunction is split(separator, text): the parts without surrounding white
// space and without empty ones, so that an empty text gives an empty list.
func splitFunction() function.Function {
	return function.New(&function.Spec{
		Params: []function.Parameter{param("separator"), param("text")}, Type: function.StaticReturnType(cty.List(cty.String)),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			if args[0].AsString() == "" {
				return cty.NilVal, function.NewArgErrorf(0, "the separator is empty")
			}
			return stringList(splitText(args[0].AsString(), args[1].AsString())), nil
		},
	})
}

func splitText(sep, s string) []string {
	var out []string
	for part := range strings.SplitSeq(s, sep) {
		if part = strings.TrimSpace(part); part != "" {
			out = append(out, part)
		}
	}
	return out
}

func stringList(items []string) cty.Value {
	if len(items) == 0 {
		return cty.ListValEmpty(cty.String)
	}
	values := make([]cty.Value, len(items))
	for i, s := range items {
		values[i] = cty.StringVal(s)
	}
	return cty.ListVal(values)
}

// backoffFunction is backoff(first, last): waiting times that double from the
// first to the last.
func backoffFunction() function.Function {
	return function.New(&function.Spec{
		Params: []function.Parameter{param("first"), param("last")}, Type: function.StaticReturnType(cty.List(cty.String)),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			first, err := parseDuration(args[0].AsString())
			if err == nil && first <= 0 {
				err = errors.New("the first time is nothing, which doubles to nothing")
			}
			if err != nil {
				return cty.NilVal, function.NewArgError(0, err)
			}
			last, err := parseDuration(args[1].AsString())
			if err == nil && last < first {
				err = fmt.Errorf("%s is shorter than the first time, %s", formatDuration(last), formatDuration(first))
			}
			if err != nil {
				return cty.NilVal, function.NewArgError(1, err)
			}
			return stringList(doubling(first, last)), nil
		},
	})
}

func doubling(first, last time.Duration) []string {
	var out []string
	for d := first; d < last; d *= 2 {
		out = append(out, formatDuration(d))
		if d > last/2 {
			break // doubled, it is beyond the last, or cannot be said any more
		}
	}
	return append(out, formatDuration(last))
}

func cidrFunction() function.Function {
	return function.New(&function.Spec{
		Params: []function.Parameter{param("network"), param("ip")}, Type: function.StaticReturnType(cty.Bool),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			network, err := parsePrefix(args[0].AsString())
			if err != nil {
				return cty.NilVal, function.NewArgError(0, err)
			}
			ip, err := netip.ParseAddr(args[1].AsString())
			if err != nil {
				return cty.NilVal, function.NewArgErrorf(1, "%q is not an IP address", args[1].AsString())
			}
			return cty.BoolVal(network.Contains(ip.Unmap())), nil
		},
	})
}

func secretFunction(read func(name string) (string, error)) function.Function {
	return function.New(&function.Spec{
		Params: []function.Parameter{param("name")}, Type: function.StaticReturnType(cty.String),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			s, err := read(args[0].AsString())
			return cty.StringVal(s).Mark(secretMark{}), err
		},
	})
}

// secret finds the value of a secret: the variable POSTROAD_SECRET_<NAME>,
// else the file <name> in the folder that CREDENTIALS_DIRECTORY names (systemd
// sets it), else the file secrets/<name> beside the configuration. One line
// end at the end of a file is not part of the secret.
func (f functions) secret(name string) (string, error) {
	if !isName(name) {
		return "", fmt.Errorf("%q is not a name of letters, digits, _ and -", name)
	}
	variable := "POSTROAD_SECRET_" + strings.ToUpper(strings.ReplaceAll(name, "-", "_"))
	if s, ok := f.env(variable); ok {
		return s, nil
	}
	folders := []string{filepath.Join(f.dir, "secrets")}
	if dir, ok := f.env("CREDENTIALS_DIRECTORY"); ok && dir != "" {
		folders = append([]string{dir}, folders...)
	}
	for _, dir := range folders {
		if b, err := f.readFile(filepath.Join(dir, name)); err == nil {
			return strings.TrimSuffix(strings.TrimSuffix(string(b), "\n"), "\r"), nil
		}
	}
	place := fmt.Sprintf("the file secrets/%s beside the configuration", name)
	if len(folders) > 1 {
		place = fmt.Sprintf("the file %s, or %s", filepath.Join(folders[0], name), place)
	}
	return "", fmt.Errorf("no secret %q; set %s, or write it to %s", name, variable, place)
}

// isName reports whether s can be the label of a block and a part of a
// reference.
func isName(s string) bool {
	for i, r := range s {
		letter := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r == '_'
		if !letter && (i == 0 || r != '-' && (r < '0' || r > '9')) {
			return false
		}
	}
	return s != "" && len(s) <= 64
}

// parsePrefix reads "192.0.2.0/24" or a single address. Bits behind the prefix
// are a fault: "127.0.0.1/8" may have meant either.
func parsePrefix(s string) (netip.Prefix, error) {
	if ip, err := netip.ParseAddr(s); err == nil && ip.Zone() == "" {
		ip = ip.Unmap()
		return netip.PrefixFrom(ip, ip.BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("%q is not a network", s)
	}
	if p.Masked() != p {
		return netip.Prefix{}, fmt.Errorf("%q has bits behind the prefix; did you mean %q or %q?", s, p.Masked(), p.Addr())
	}
	return p, nil
}
