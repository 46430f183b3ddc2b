// SPDX-License-Identifier: Apache-2.0

//go:build interop

package interop

import (
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/postroad-mail/postroad/core/internal/testkit"
)

// slapd is an OpenLDAP server of the test, with files of its own. Users may not be read by strangers.
type slapd struct {
	dir, plain, tls, socket, ca string
	cmd                         *exec.Cmd
}

const slapdConfig = `include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
modulepath /usr/lib/ldap
moduleload back_mdb
pidfile %[1]s/pid
TLSCertificateFile %[2]s
TLSCertificateKeyFile %[3]s
security simple_bind=71
database mdb
suffix dc=example
directory %[1]s/db
access to attrs=userPassword by anonymous auth
access to * by dn.exact="cn=postroad,dc=example" read by self read by anonymous auth
`

const slapdEntries = `dn: dc=example
objectClass: domain
dc: example

dn: cn=postroad,dc=example
objectClass: person
cn: postroad
sn: postroad
userPassword: service word

dn: uid=ann,dc=example
objectClass: inetOrgPerson
uid: ann
cn: Ann
sn: Ann
mail: ann@here.test
userPassword: pencil and paper

dn: uid=bob,dc=example
objectClass: inetOrgPerson
uid: bob
cn: Bob
sn: Bob
mail: bob@here.test
`

func startSlapd(t *testing.T) *slapd {
	t.Helper()
	s := &slapd{dir: t.TempDir(), plain: "ldap://" + freeAddress(t), tls: "ldaps://" + freeAddress(t)}
	s.socket = "ldapi://" + url.PathEscape(filepath.Join(s.dir, "socket"))
	cert, key := testkit.NewCert(t, "127.0.0.1").Write(t, s.dir)
	s.ca = cert
	config := write(t, filepath.Join(s.dir, "slapd.conf"), fmt.Appendf(nil, slapdConfig, s.dir, cert, key))
	if err := os.Mkdir(filepath.Join(s.dir, "db"), 0o700); err != nil {
		t.Fatal(err)
	}
	entries := write(t, filepath.Join(s.dir, "entries.ldif"), []byte(slapdEntries))
	if out, err := output(t, "slapadd", "-f", config, "-l", entries); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	s.cmd = exec.Command(program(t, "slapd"), "-d", "0", "-f", config, "-h", strings.Join([]string{s.plain, s.tls, s.socket}, " "))
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.stop)
	eventually(t, "slapd answers", func() error {
		_, err := output(t, "ldapsearch", "-x", "-H", s.plain, "-s", "base", "-b", "", "-LLL")
		return err
	})
	return s
}

func (s *slapd) stop() {
	if s.cmd.ProcessState == nil {
		_ = s.cmd.Process.Signal(syscall.SIGTERM)
		_ = s.cmd.Wait()
	}
}

// users is the block of the accounts that stand there.
func (s *slapd) users(at string, more string) string {
	return fmt.Sprintf("ldap {\nurls = [%q]\nca = %q\nsenders_attribute = \"mail\"\n%s\n}", at, s.ca, more)
}

const bySearch = `bind_dn = "cn=postroad,dc=example"
bind_password = secret("ldap")
base = "dc=example"
filter = "(|(uid={user})(mail={user}))"`

func ldapLogin(t *testing.T, server *relay, user, password, from string) (string, error) {
	t.Helper()
	return output(t, "/usr/bin/python3", "testdata/login_send.py", "smtplib", "starttls", server.addr, user, password, from, "r@far.test")
}

func TestAUserOfOpenLDAPLogsIn(t *testing.T) {
	s := startSlapd(t)
	for name, users := range map[string]string{
		"StartTLS": s.users(s.plain, bySearch), "ldaps": s.users(s.tls, bySearch), "ldapi": s.users(s.socket, bySearch),
		"template": s.users(s.tls, `template = "uid={user},dc=example"`),
	} {
		t.Run(name, func(t *testing.T) {
			server := startRelay(t, submission(t, users), "POSTROAD_SECRET_LDAP=service word")
			if out, err := ldapLogin(t, server, "ann", "pencil and paper", "ann@here.test"); err != nil {
				t.Errorf("%v\n%s", err, out)
			}
			if out, err := ldapLogin(t, server, "ann", "pencil and paper", "bob@here.test"); err == nil || !strings.Contains(out, "553") {
				t.Errorf("as somebody else: %v\n%s", err, out)
			}
			for _, who := range [][2]string{{"ann", "pen"}, {"bob", "pencil"}, {"nobody", "pencil"}, {"*", "pencil and paper"}} {
				if out, err := ldapLogin(t, server, who[0], who[1], "ann@here.test"); err == nil || !strings.Contains(out, "535") {
					t.Errorf("%q: %v\n%s", who, err, out)
				}
			}
			if strings.Contains(server.logged(), "pencil") || strings.Contains(server.logged(), "service word") {
				t.Error("the log shows a password")
			}
		})
	}
}

func TestWhileOpenLDAPIsDownALoginIsTriedAgainLater(t *testing.T) {
	s := startSlapd(t)
	server := startRelay(t, submission(t, s.users(s.tls, bySearch)), "POSTROAD_SECRET_LDAP=service word")
	if out, err := ldapLogin(t, server, "ann", "pencil and paper", "ann@here.test"); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	s.stop()
	if out, err := ldapLogin(t, server, "ann", "pencil and paper", "ann@here.test"); err == nil || !strings.Contains(out, "454") {
		t.Errorf("%v\n%s", err, out)
	}
}
