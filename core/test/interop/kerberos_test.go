// SPDX-License-Identifier: Apache-2.0

//go:build interop

package interop

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// realm is a KDC of MIT Kerberos with the realm POSTROAD.TEST, whose users have their names as passwords.
type realm struct {
	t   *testing.T
	dir string
	env []string
}

const kdcConfig = `[kdcdefaults]
  kdc_listen = %[2]s
  kdc_tcp_listen = %[2]s
[realms]
  POSTROAD.TEST = {
    database_name = %[1]s/principal
    key_stash_file = %[1]s/stash
    acl_file = %[1]s/acl
    supported_enctypes = %[3]s
  }
[logging]
  kdc = FILE:%[1]s/kdc.log
`

const krbConfig = `[libdefaults]
  default_realm = POSTROAD.TEST
  dns_lookup_kdc = false
  dns_canonicalize_hostname = false
  rdns = false
  permitted_enctypes = %[3]s
[realms]
  POSTROAD.TEST = {
    kdc = %[2]s
  }
[domain_realm]
  localhost = POSTROAD.TEST
`

// startRealm runs a KDC until the test ends. Its files are its own; the system's are not read.
func startRealm(t *testing.T, enctype string) *realm {
	t.Helper()
	r := &realm{t: t, dir: t.TempDir()}
	addr := freeAddress(t)
	write(t, filepath.Join(r.dir, "kdc.conf"), fmt.Appendf(nil, kdcConfig, r.dir, addr, enctype+":normal"))
	write(t, filepath.Join(r.dir, "krb5.conf"), fmt.Appendf(nil, krbConfig, r.dir, addr, enctype))
	r.env = append(os.Environ(), "KRB5_CONFIG="+filepath.Join(r.dir, "krb5.conf"), "KRB5_KDC_PROFILE="+filepath.Join(r.dir, "kdc.conf"),
		"KRB5CCNAME=FILE:"+filepath.Join(r.dir, "cc"), "KRB5RCACHEDIR="+r.dir)
	r.must("kdb5_util", "create", "-s", "-P", "master", "-r", "POSTROAD.TEST")
	r.must("kadmin.local", "addprinc", "-pw", "ann", "ann")
	r.must("kadmin.local", "addprinc", "-pw", "bob", "bob")
	r.must("kadmin.local", "addprinc", "-randkey", "smtp/localhost")
	r.must("kadmin.local", "addprinc", "-randkey", "imap/localhost")
	r.must("kadmin.local", "ktadd", "-k", r.keytab(), "smtp/localhost")
	r.serve(addr)
	return r
}

// serve runs krb5kdc and waits until it answers.
func (r *realm) serve(addr string) {
	r.t.Helper()
	kdc := exec.Command(program(r.t, "krb5kdc"), "-n", "-r", "POSTROAD.TEST", "-P", filepath.Join(r.dir, "pid"))
	kdc.Env = r.env
	if err := kdc.Start(); err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() {
		_ = kdc.Process.Signal(syscall.SIGTERM)
		_ = kdc.Wait()
	})
	listening(r.t, addr)
}

func (r *realm) keytab() string { return filepath.Join(r.dir, "smtp.keytab") }

func (r *realm) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(program(r.t, name), args...)
	cmd.Env = r.env
	return cmd
}

func (r *realm) must(name string, args ...string) {
	r.t.Helper()
	if out, err := outputOf(r.t, r.command(name, args...)); err != nil {
		r.t.Fatalf("%s: %v\n%s", name, err, out)
	}
}

// login gets a ticket by the user's password.
func (r *realm) login(user string) {
	r.t.Helper()
	cmd := r.command("kinit", user)
	cmd.Stdin = strings.NewReader(user + "\n")
	if out, err := outputOf(r.t, cmd); err != nil {
		r.t.Fatalf("kinit: %v\n%s", err, out)
	}
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// submission is a configuration with users that may log in to a listener, and whose mail goes nowhere.
func submission(t *testing.T, users string) string {
	t.Helper()
	return write(t, filepath.Join(t.TempDir(), "pipeline.hcl"), []byte(`server {
  hostname = env("POSTROAD_HOSTNAME")
  data_dir = env("POSTROAD_DATA")
}
users "all" {
`+users+`
}
listener "submission" "in" {
  address = env("POSTROAD_LISTEN")
  auth {
    users = [users.all]
  }
  tls {
    self_signed = true
  }
}
routing {
  rule {
    route = route.box
  }
}
route "box" {
  maildir {
    create = true
  }
}
`))
}

func (r *realm) relay(keytab string) *relay {
	r.t.Helper()
	return startRelay(r.t, submission(r.t, fmt.Sprintf(`kerberos {
    keytab    = %q
    principal = "smtp/localhost"
    domain    = "postroad.test"
  }`, keytab)))
}

// msmtpKerberos sends by msmtp, whose library is libgsasl with that of MIT.
func (r *realm) msmtp(to *relay, as string) (string, error) {
	r.t.Helper()
	_, port, _ := net.SplitHostPort(to.addr)
	cmd := r.command("msmtp", "-C", "/dev/null", "--host=localhost", "--port="+port, "--tls=off", "--auth=gssapi", "--user="+as,
		"--from=ann@postroad.test", "bob@postroad.test")
	cmd.Stdin = strings.NewReader("Subject: by a ticket\r\n\r\nhello\r\n")
	return outputOf(r.t, cmd)
}

// curl logs in without mutual authentication.
func (r *realm) curl(to *relay) (string, error) {
	r.t.Helper()
	mail := write(r.t, filepath.Join(r.t.TempDir(), "m"), []byte("Subject: by a ticket\r\n\r\nhello\r\n"))
	_, port, _ := net.SplitHostPort(to.addr)
	return outputOf(r.t, r.command("curl", "-sS", "-v", "--url", "smtp://localhost:"+port+"/client.postroad.test", "--login-options", "AUTH=GSSAPI", "-u", "ann@POSTROAD.TEST:",
		"--mail-from", "ann@postroad.test", "--mail-rcpt", "bob@postroad.test", "-T", mail))
}

// python runs an exchange by python3-gssapi, step by step.
func (r *realm) python(to *relay, how ...string) (string, error) {
	r.t.Helper()
	cmd := exec.Command("/usr/bin/python3", append([]string{"testdata/gssapi_send.py", to.addr}, how...)...)
	cmd.Env = r.env
	return outputOf(r.t, cmd)
}

func TestATicketOfMITLogsIn(t *testing.T) {
	for _, enctype := range []string{"aes256-cts-hmac-sha1-96", "aes128-cts-hmac-sha256-128", "aes256-cts-hmac-sha384-192"} {
		t.Run(enctype, func(t *testing.T) {
			r := startRealm(t, enctype)
			r.login("ann")
			server := r.relay(r.keytab())
			for name, send := range map[string]func() (string, error){
				"msmtp":                func() (string, error) { return r.msmtp(server, "ann") },
				"curl":                 func() (string, error) { return r.curl(server) },
				"python":               func() (string, error) { return r.python(server, "mutual") },
				"python, one way":      func() (string, error) { return r.python(server, "oneway") },
				"python, bound to TLS": func() (string, error) { return r.python(server, "bound") },
				"python, as ann":       func() (string, error) { return r.python(server, "mutual", "ann@postroad.test") },
			} {
				if out, err := send(); err != nil {
					t.Errorf("%s: %v\n%s", name, err, out)
				}
			}
		})
	}
}

func TestTicketsThatAreNotGoodAreRefused(t *testing.T) {
	r := startRealm(t, "aes256-cts-hmac-sha1-96")
	r.login("ann")
	server := r.relay(r.keytab())
	for name, send := range map[string]func() (string, error){
		"as somebody else":           func() (string, error) { return r.python(server, "mutual", "bob") },
		"a ticket for IMAP":          func() (string, error) { return r.python(server, "imap") },
		"bindings of nothing":        func() (string, error) { return r.python(server, "bindings") },
		"the same token twice":       func() (string, error) { return r.python(server, "replay") },
		"a layer that nobody offers": func() (string, error) { return r.python(server, "layer") },
	} {
		if out, err := send(); err == nil || !strings.Contains(out, "535") {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
	}
	r.must("kadmin.local", "ktadd", "-k", filepath.Join(r.dir, "new.keytab"), "smtp/localhost") // the KDC has new keys
	r.must("kdestroy")
	r.login("ann")
	if out, err := r.python(server, "mutual"); err == nil || !strings.Contains(out, "535") {
		t.Errorf("with keys that the relay does not have: %v\n%s", err, out)
	}
	if err := os.Rename(filepath.Join(r.dir, "new.keytab"), r.keytab()); err != nil {
		t.Fatal(err)
	}
	if out, err := r.python(server, "mutual"); err != nil {
		t.Errorf("with the new keytab in place: %v\n%s", err, out)
	}
}

func TestWithoutItsKeytabALoginIsTriedAgainLater(t *testing.T) {
	r := startRealm(t, "aes256-cts-hmac-sha1-96")
	r.login("ann")
	late := filepath.Join(r.dir, "late.keytab")
	server := r.relay(late)
	if out, err := r.python(server, "mutual"); err == nil || !strings.Contains(out, "454") {
		t.Errorf("%v\n%s", err, out)
	}
	if err := os.Rename(r.keytab(), late); err != nil {
		t.Fatal(err)
	}
	if out, err := r.python(server, "mutual"); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
