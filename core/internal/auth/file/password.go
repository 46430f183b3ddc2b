// SPDX-License-Identifier: Apache-2.0

package file

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"strings"

	"github.com/xdg-go/scram"
	"golang.org/x/crypto/argon2"
	"golang.org/x/crypto/bcrypt"

	"github.com/postroad-mail/postroad/core/internal/auth"
)

// What a new hash costs: 19 MiB of memory, two passes, one thread.
const (
	argonMemory = 19 << 10 // KiB
	argonTime   = 2
	argonSize   = 32
)

// The most that a hash of the file may cost: one that was made elsewhere must not
// take the machine's memory.
const (
	maxArgonMemory = 256 << 10 // KiB
	maxArgonTime   = 16
	maxArgonLanes  = 16
	maxBcryptCost  = 16
)

// Hash returns an argon2id hash of a password (RFC 9106) in the usual notation:
// $argon2id$v=19$m=…,t=…,p=…$salt$hash.
func Hash(password string) (string, error) {
	salt := make([]byte, 16)
	_, _ = rand.Read(salt) // it never fails
	key := argon2.IDKey([]byte(password), salt, argonTime, argonMemory, 1, argonSize)
	b64 := base64.RawStdEncoding
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=1$%s$%s", argon2.Version, argonMemory, argonTime, b64.EncodeToString(salt), b64.EncodeToString(key)), nil
}

// Matches reports whether a password has that hash.
func Matches(hash, password string) bool {
	if strings.HasPrefix(hash, "$2") {
		return bcrypt.CompareHashAndPassword([]byte(hash), []byte(password)) == nil
	}
	a, err := parseArgon(hash)
	if err != nil {
		return false
	}
	key := argon2.IDKey([]byte(password), a.salt, a.time, a.memory, a.lanes, uint32(len(a.key)))
	return subtle.ConstantTimeCompare(key, a.key) == 1
}

// CheckHash says what is wrong with a hash.
func CheckHash(hash string) error {
	if !strings.HasPrefix(hash, "$2") {
		_, err := parseArgon(hash)
		return err
	}
	cost, err := bcrypt.Cost([]byte(hash))
	if err == nil && cost > maxBcryptCost {
		err = fmt.Errorf("the cost of a bcrypt hash is %d, and may be %d", cost, maxBcryptCost)
	}
	return err
}

type argon struct {
	memory, time uint32
	lanes        uint8
	salt, key    []byte
}

func parseArgon(hash string) (argon, error) {
	parts := strings.Split(hash, "$")
	if len(parts) != 6 || parts[1] != "argon2id" || parts[2] != fmt.Sprintf("v=%d", argon2.Version) {
		return argon{}, fmt.Errorf("the hash is neither $argon2id$v=%d$… nor one of bcrypt", argon2.Version)
	}
	var a argon
	if n, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &a.memory, &a.time, &a.lanes); n != 3 || err != nil {
		return a, fmt.Errorf("the hash has %q where m=…,t=…,p=… belongs", parts[3])
	}
	if a.memory > maxArgonMemory || a.time > maxArgonTime || a.lanes > maxArgonLanes || a.memory < 8 || a.time < 1 || a.lanes < 1 {
		return a, fmt.Errorf("the hash has %s, which is more than m=%d,t=%d,p=%d or nothing", parts[3], maxArgonMemory, maxArgonTime, maxArgonLanes)
	}
	var err1, err2 error
	a.salt, err1 = base64.RawStdEncoding.DecodeString(parts[4])
	a.key, err2 = base64.RawStdEncoding.DecodeString(parts[5])
	if err1 != nil || err2 != nil || len(a.key) < 16 || len(a.key) > 64 || len(a.salt) > 64 {
		return a, fmt.Errorf("salt or hash are not base64, or of no sensible length")
	}
	return a, nil
}

// Keys returns what SCRAM needs for a password, by hash.
func Keys(password string) map[string]*auth.Keyring {
	return map[string]*auth.Keyring{"SHA-1": keys(scram.SHA1, password), "SHA-256": keys(scram.SHA256, password)}
}

// keys derives the keys of one hash (RFC 5802 §3).
func keys(generate scram.HashGeneratorFcn, password string) *auth.Keyring {
	salt := make([]byte, 16)
	_, _ = rand.Read(salt) // it never fails
	client, err := generate.NewClientUnprepped("", password, "")
	if err != nil {
		return nil
	}
	c, err := client.GetStoredCredentialsWithError(scram.KeyFactors{Salt: string(salt), Iters: auth.Iterations})
	if err != nil {
		return nil
	}
	return &auth.Keyring{Salt: salt, Iterations: auth.Iterations, StoredKey: c.StoredKey, ServerKey: c.ServerKey}
}
