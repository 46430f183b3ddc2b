// SPDX-License-Identifier: Apache-2.0

package docs

import (
	"regexp"
	"strings"
	"testing"
)

// unit is a systemd unit of the documentation: values by "Section.Key".
type unit map[string][]string

// units returns the units that the documentation shows, by their path.
func units(t *testing.T) map[string]unit {
	t.Helper()
	all := map[string]unit{}
	for _, b := range blocks(t) {
		if b.lang != "ini" {
			continue
		}
		path, rest, _ := strings.Cut(b.text, "\n")
		name, ok := strings.CutPrefix(path, "# /etc/systemd/system/")
		if !ok {
			t.Errorf("%s:%d: the first line does not name the unit's file", b.page, b.line)
			continue
		}
		all[name] = parseUnit(t, b, rest)
	}
	return all
}

func parseUnit(t *testing.T, b block, text string) unit {
	t.Helper()
	u, section := unit{}, ""
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		key, value, pair := strings.Cut(line, "=")
		switch {
		case line == "" || line[0] == '#':
		case line[0] == '[' && strings.HasSuffix(line, "]"):
			section = line[1 : len(line)-1]
		case pair && section != "" && value != "":
			u[section+"."+key] = append(u[section+"."+key], value)
		default:
			t.Errorf("%s:%d: %q is no line of a unit", b.page, b.line, line)
		}
	}
	return u
}

// The two units belong together, and to the listener that is shown with them: the
// name of the sockets, the folder of the data and the command are the same in each.
func TestUnitsFitEachOther(t *testing.T) {
	all := units(t)
	socket, service := all["postroad.socket"], all["postroad.service"]
	if socket == nil || service == nil {
		t.Fatalf("units: %v", all)
	}
	first := func(u unit, key string) string {
		if len(u[key]) == 0 {
			t.Fatalf("no %s", key)
		}
		return u[key][0]
	}
	if first(service, "Unit.Requires") != "postroad.socket" || first(service, "Service.Type") != "notify" || len(socket["Socket.ListenStream"]) != 2 {
		t.Errorf("%v\n%v", socket, service)
	}
	if !regexp.MustCompile(`^/\S+/postroad run -c /\S+\.hcl$`).MatchString(first(service, "Service.ExecStart")) {
		t.Errorf("ExecStart=%s", first(service, "Service.ExecStart"))
	}
	listener := `address = "systemd:` + first(socket, "Socket.FileDescriptorName") + `"`
	data := `data_dir = "/var/lib/` + first(service, "Service.StateDirectory") + `"`
	for _, b := range blocks(t) {
		if b.lang == "hcl" && strings.Contains(b.text, listener) && strings.Contains(b.text, data) {
			return
		}
	}
	t.Errorf("no configuration with %s and %s", listener, data)
}
