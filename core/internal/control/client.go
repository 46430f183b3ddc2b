// SPDX-License-Identifier: Apache-2.0

package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"strings"
	"syscall"

	"github.com/postroad-mail/postroad/core/mail"
)

// ErrNotRunning means that no relay serves the socket.
var ErrNotRunning = errors.New("no relay is running on this data directory")

// Refused is what the relay said of a call that it did not do.
type Refused struct{ Text string }

func (r *Refused) Error() string { return r.Text }

// Client speaks to the relay of one data directory. It implements Service.
type Client struct {
	path string
	http *http.Client
}

// Dial returns a client for the socket at path. It connects with each call.
func Dial(path string) *Client {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}
	return &Client{path: path, http: &http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}}
}

// Info implements Service.
func (c *Client) Info(ctx context.Context) (Info, error) {
	return call[Info](ctx, c, "info", struct{}{})
}

// Reload implements Service.
func (c *Client) Reload(ctx context.Context) error {
	_, err := call[struct{}](ctx, c, "reload", struct{}{})
	return err
}

// List implements Service.
func (c *Client) List(ctx context.Context, f Filter) ([]mail.QueueEntry, error) {
	return call[[]mail.QueueEntry](ctx, c, "list", f)
}

// Show implements Service.
func (c *Client) Show(ctx context.Context, id string) (mail.QueueEntry, error) {
	return call[mail.QueueEntry](ctx, c, "show", id)
}

// Act implements Service.
func (c *Client) Act(ctx context.Context, a Action) (int, error) {
	return call[int](ctx, c, "act", a)
}

// Stages implements Service.
func (c *Client) Stages(ctx context.Context) ([]StageState, error) {
	return call[[]StageState](ctx, c, "stages", struct{}{})
}

// SetStage implements Service.
func (c *Client) SetStage(ctx context.Context, a StageAction) (StageState, error) {
	return call[StageState](ctx, c, "stage", a)
}

// Differences implements Service.
func (c *Client) Differences(ctx context.Context, stage string) ([]Difference, error) {
	return call[[]Difference](ctx, c, "differences", stage)
}

// Backup implements Service. dir is absolute: the relay's folder is another.
func (c *Client) Backup(ctx context.Context, dir string) error {
	_, err := call[struct{}](ctx, c, "backup", dir)
	return err
}

func call[A any](ctx context.Context, c *Client, verb string, q any) (A, error) {
	var out reply[A]
	body, err := json.Marshal(q)
	if err != nil {
		return out.Value, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://postroad/v1/"+verb, bytes.NewReader(body))
	if err != nil {
		return out.Value, err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return out.Value, c.explain(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 4096))
		return out.Value, fmt.Errorf("control socket %s: %s", c.path, strings.TrimSpace(string(text)))
	}
	if err := json.NewDecoder(resp.Body).Decode(&out); err != nil {
		return out.Value, fmt.Errorf("control socket %s: %w", c.path, err)
	}
	if out.Error != "" {
		return out.Value, &Refused{out.Error}
	}
	return out.Value, nil
}

func (c *Client) explain(err error) error {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) {
		return fmt.Errorf("%w (control socket %s)", ErrNotRunning, c.path)
	}
	return fmt.Errorf("control socket %s: %w", c.path, err)
}
