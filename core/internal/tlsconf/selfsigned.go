// SPDX-License-Identifier: Apache-2.0

package tlsconf

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// How long a certificate of our own is good for, and how long before its end a new
// one is made.
const (
	selfSignedFor    = 365 * 24 * time.Hour
	selfSignedBefore = 30 * 24 * time.Hour
)

// SelfSigned returns a certificate for a host name that nobody can verify: good for
// development, and for encryption that only has to keep out who listens. It is kept
// in a folder, for its owner alone, and made when it is not there, is for another
// name, or ends soon. Without a folder it is made each time.
func SelfSigned(dir, hostname string, now time.Time) (c tls.Certificate, made bool, err error) {
	cert, key := filepath.Join(dir, "self-signed.pem"), filepath.Join(dir, "self-signed.key")
	if dir != "" {
		if c, err = tls.LoadX509KeyPair(cert, key); err == nil && serves(c.Leaf, hostname, now) {
			return c, false, nil
		}
	}
	certPEM, keyPEM, err := makeSelfSigned(hostname, now)
	if err != nil {
		return c, false, err
	}
	if dir != "" {
		err = errors.Join(os.MkdirAll(dir, 0o700), writePrivate(key, keyPEM), writePrivate(cert, certPEM))
	}
	if err != nil {
		return c, false, err
	}
	c, err = tls.X509KeyPair(certPEM, keyPEM)
	return c, true, err
}

// serves reports whether a certificate can be used for a host name for a while.
func serves(c *x509.Certificate, hostname string, now time.Time) bool {
	return slices.Contains(c.DNSNames, hostname) && now.After(c.NotBefore) && c.NotAfter.Sub(now) > selfSignedBefore
}

func makeSelfSigned(hostname string, now time.Time) (certPEM, keyPEM []byte, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, nil, err
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: hostname, Organization: []string{"Postroad, signed by itself"}},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(selfSignedFor), DNSNames: []string{hostname},
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	return pemOf("CERTIFICATE", cert), pemOf("PRIVATE KEY", der), err
}

func pemOf(what string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: what, Bytes: der})
}

// writePrivate writes a file for its owner alone, whole or not at all.
func writePrivate(path string, b []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-") // its mode is 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // it is gone when all went well
	_, err = f.Write(b)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return os.Rename(f.Name(), path)
}
