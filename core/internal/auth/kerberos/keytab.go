// SPDX-License-Identifier: Apache-2.0

package kerberos

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/jcmturner/gokrb5/v8/iana/etypeID"
	"github.com/jcmturner/gokrb5/v8/keytab"
	"github.com/jcmturner/gokrb5/v8/types"
)

// maxKeytab is the largest keytab that is read, in octets.
const maxKeytab = 1 << 20

// keys follow a keytab as it changes.
type keys struct {
	path string

	mu   sync.Mutex
	kt   *keytab.Keytab // nil: nothing was read yet
	size int64          // of the file that was read
	when time.Time      // likewise
}

// current returns the keys as they are now, or those of before if the file cannot
// be read.
func (k *keys) current() (*keytab.Keytab, error) {
	kt, err := k.read()
	if kt != nil {
		return kt, nil
	}
	return nil, err
}

// read reads the file if it has changed. With an error the keys of before are
// returned, nil if there are none.
func (k *keys) read() (*keytab.Keytab, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	f, err := os.Open(k.path)
	if err != nil {
		return k.kt, fmt.Errorf("the keytab cannot be read: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err == nil {
		err = private(k.path, info)
	}
	if err != nil || k.kt != nil && info.Size() == k.size && info.ModTime().Equal(k.when) {
		return k.kt, err
	}
	kt, err := parse(f)
	if err != nil {
		return k.kt, fmt.Errorf("%s: %w", k.path, err)
	}
	k.kt, k.size, k.when = kt, info.Size(), info.ModTime()
	return kt, nil
}

// private refuses a keytab that others than its owner and its group may read, or
// others than its owner may write.
func private(path string, info fs.FileInfo) error {
	if mode := info.Mode(); !mode.IsRegular() || mode.Perm()&0o027 != 0 {
		return fmt.Errorf("%s has the mode %s: who reads its keys can log in as anybody\nchmod 600 it, or 640 with a group of the relay's own", path, mode)
	}
	return nil
}

// parse reads a keytab. The library panics on some that are cut off.
func parse(r io.Reader) (kt *keytab.Keytab, err error) {
	defer func() {
		if recover() != nil {
			kt, err = nil, fmt.Errorf("this is no keytab")
		}
	}()
	b, err := io.ReadAll(io.LimitReader(r, maxKeytab))
	if err != nil {
		return nil, err
	}
	kt = keytab.New()
	if kt.Unmarshal(b) != nil { // its error would show the keys
		return nil, fmt.Errorf("this is no keytab")
	}
	return kt, nil
}

// realmsOf returns the realms for which there is a key of the service, sorted.
func realmsOf(kt *keytab.Keytab, service types.PrincipalName) []string {
	var realms []string
	for _, e := range kt.Entries {
		if aes(e.Key) && slices.Equal(e.Principal.Components, service.NameString) && !slices.Contains(realms, e.Principal.Realm) {
			realms = append(realms, e.Principal.Realm)
		}
	}
	slices.Sort(realms)
	return realms
}

// aes reports whether a key is of AES (RFC 3962, RFC 8009): what was before is
// broken (RFC 8429).
func aes(k types.EncryptionKey) bool {
	switch k.KeyType {
	case etypeID.AES128_CTS_HMAC_SHA1_96, etypeID.AES128_CTS_HMAC_SHA256_128:
		return len(k.KeyValue) == 16
	case etypeID.AES256_CTS_HMAC_SHA1_96, etypeID.AES256_CTS_HMAC_SHA384_192:
		return len(k.KeyValue) == 32
	}
	return false
}
