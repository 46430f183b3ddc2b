// SPDX-License-Identifier: Apache-2.0

package source

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2/content"
	"oras.land/oras-go/v2/errdef"
	"oras.land/oras-go/v2/registry/remote"
	"oras.land/oras-go/v2/registry/remote/auth"
	"oras.land/oras-go/v2/registry/remote/credentials"
	"oras.land/oras-go/v2/registry/remote/errcode"
	"oras.land/oras-go/v2/registry/remote/retry"
)

// headerTimeout is how long a registry may be silent before it answers.
const headerTimeout = 15 * time.Second

// pull gets the manifest that ref names and its module from the registry. Both
// are what their digests name.
func pull(ctx context.Context, ref reference) (*artifact, error) {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.ResponseHeaderTimeout = headerTimeout
	defer transport.CloseIdleConnections()
	repo, err := repository(ref, transport)
	if err != nil {
		return nil, err
	}
	a := &artifact{}
	if a.manifest, err = pullManifest(ctx, repo, ref); err != nil {
		return nil, pullFault(ref, err)
	}
	if a.layer, err = moduleOf(a.manifest); err != nil {
		return nil, fmt.Errorf("%s: %w", ref, err)
	}
	if a.wasm, err = pullModule(ctx, repo, a.layer); err != nil {
		return nil, pullFault(ref, err)
	}
	return a, nil
}

// repository returns the client for one pull.
func repository(ref reference, transport http.RoundTripper) (*remote.Repository, error) {
	login, err := logins()
	if err != nil {
		return nil, fmt.Errorf("docker's configuration, which holds the credentials for registry %s, cannot be read: %w; correct it, or name another folder in DOCKER_CONFIG", ref.Registry, err)
	}
	return &remote.Repository{
		Reference: ref.Reference, PlainHTTP: ref.loopback(), MaxMetadataBytes: maxManifest,
		Client: &auth.Client{
			Client: &http.Client{Transport: retry.NewTransport(transport)}, Cache: auth.NewCache(), Credential: login,
			Header: http.Header{"User-Agent": {"postroad"}},
		},
	}, nil
}

// logins returns the credentials of docker's configuration
// ($DOCKER_CONFIG/config.json, else ~/.docker/config.json), where the logins of
// docker, oras and their like put them; nil for a user without a home.
func logins() (auth.CredentialFunc, error) {
	if _, err := os.UserHomeDir(); err != nil && os.Getenv("DOCKER_CONFIG") == "" {
		return nil, nil
	}
	store, err := credentials.NewStoreFromDocker(credentials.StoreOptions{})
	if err != nil {
		return nil, err
	}
	return credentials.Credential(store), nil
}

func pullManifest(ctx context.Context, repo *remote.Repository, ref reference) ([]byte, error) {
	d, body, err := repo.Manifests().FetchReference(ctx, ref.digest.String())
	if err != nil {
		return nil, err
	}
	defer body.Close()
	if d.Size > maxManifest {
		return nil, &sizeError{"manifest", d.Size, maxManifest}
	}
	b, err := content.ReadAll(body, d)
	if err == nil && !is(ref.digest, b) {
		err = content.ErrMismatchedDigest
	}
	return b, err
}

// pullModule reads a layer; moduleOf has bounded its size.
func pullModule(ctx context.Context, repo *remote.Repository, layer ocispec.Descriptor) ([]byte, error) {
	body, err := repo.Blobs().Fetch(ctx, layer)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	b, err := content.ReadAll(body, layer)
	if err == nil && !is(layer.Digest, b) {
		err = content.ErrMismatchedDigest
	}
	return b, err
}

type sizeError struct {
	what      string
	size, max int64
}

func (e *sizeError) Error() string {
	return fmt.Sprintf("its %s has %d octets, more than %s", e.what, e.size, octets(e.max))
}

// pullFault makes one sentence with a remedy of what went wrong.
func pullFault(ref reference, err error) error {
	var size *sizeError
	var answer *errcode.ErrorResponse
	switch {
	case errors.As(err, &size):
		return fmt.Errorf("%s: %w; name the digest of a module's manifest", ref, err)
	case errors.Is(err, errdef.ErrNotFound):
		return fmt.Errorf("registry %s does not have %s; check the source, or push it there", ref.Registry, ref)
	case errors.Is(err, content.ErrMismatchedDigest), errors.Is(err, content.ErrTrailingData):
		return fmt.Errorf("registry %s sent something else than %s: %w; nothing of it is used, ask who runs the registry", ref.Registry, ref, err)
	case errors.Is(err, auth.ErrBasicCredentialNotFound), errors.As(err, &answer) && (answer.StatusCode == http.StatusUnauthorized || answer.StatusCode == http.StatusForbidden):
		return fmt.Errorf("registry %s does not give %s to this user: %w; log in with \"docker login %s\" as the user that runs postroad", ref.Registry, ref, err, ref.Registry)
	}
	return fmt.Errorf("%s cannot be had from registry %s: %w; check that the registry runs and can be reached from here", ref, ref.Registry, err)
}
