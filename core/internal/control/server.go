// SPDX-License-Identifier: Apache-2.0

package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"syscall"
	"time"

	"github.com/postroad-mail/postroad/core/internal/httpd"
	"github.com/postroad-mail/postroad/core/mail"
)

// Listen opens the socket at path, 0600. A socket that a dead relay left is
// replaced; the data directory's lock has told already that no other relay
// runs.
func Listen(path string) (net.Listener, error) {
	if most := len(syscall.RawSockaddrUnix{}.Path) - 1; len(path) > most {
		return nil, fmt.Errorf("control socket %s: the path is %d octets long and the system takes %d; choose a shorter data_dir", path, len(path), most)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("control socket %s: %w", path, err)
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("control socket %s: %w", path, err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		l.Close()
		return nil, fmt.Errorf("control socket %s: %w", path, err)
	}
	return l, nil
}

// NewServer returns a server of s. It does not listen yet.
func NewServer(s Service) *httpd.Server {
	mux := http.NewServeMux()
	handle(mux, "info", func(ctx context.Context, _ struct{}) (Info, error) { return s.Info(ctx) })
	handle(mux, "reload", func(ctx context.Context, _ struct{}) (struct{}, error) { return struct{}{}, s.Reload(ctx) })
	handle(mux, "list", s.List)
	handle(mux, "show", s.Show)
	handle(mux, "act", s.Act)
	handle(mux, "suspend", s.Suspend)
	handle(mux, "resume", s.Resume)
	handle(mux, "suspensions", func(ctx context.Context, _ struct{}) ([]mail.Suspension, error) { return s.Suspensions(ctx) })
	mux.HandleFunc("POST /v1/export", func(w http.ResponseWriter, r *http.Request) { serveExport(s, w, r) })
	mux.HandleFunc("POST /v1/import", func(w http.ResponseWriter, r *http.Request) { serveImport(s, w, r) })
	handle(mux, "stages", func(ctx context.Context, _ struct{}) ([]StageState, error) { return s.Stages(ctx) })
	handle(mux, "stage", s.SetStage)
	handle(mux, "differences", s.Differences)
	handle(mux, "backup", func(ctx context.Context, dir string) (struct{}, error) { return struct{}{}, s.Backup(ctx, dir) })
	return httpd.New(&http.Server{Handler: mux, ReadTimeout: 10 * time.Second})
}

// reply is what travels back: a value or an error's text.
type reply[T any] struct {
	Value T
	Error string `json:",omitempty"`
}

const maxRequest = 1 << 20

func handle[Q, A any](mux *http.ServeMux, verb string, f func(context.Context, Q) (A, error)) {
	mux.HandleFunc("POST /v1/"+verb, func(w http.ResponseWriter, r *http.Request) {
		var q Q
		if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxRequest)).Decode(&q); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		a, err := f(r.Context(), q)
		answer(w, a, err)
	})
}

func answer[A any](w http.ResponseWriter, a A, err error) {
	out := reply[A]{Value: a}
	if err != nil {
		out.Error = err.Error()
	}
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(out) //nolint:errcheck // the client is gone
}
