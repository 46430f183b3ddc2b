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
func (c *Client) Act(ctx context.Context, a Action) (Done, error) {
	return call[Done](ctx, c, "act", a)
}

// Suspend implements Service.
func (c *Client) Suspend(ctx context.Context, a SuspendAction) (Done, error) {
	return call[Done](ctx, c, "suspend", a)
}

// Resume implements Service.
func (c *Client) Resume(ctx context.Context, a ResumeAction) ([]mail.Suspension, error) {
	return call[[]mail.Suspension](ctx, c, "resume", a)
}

// Suspensions implements Service.
func (c *Client) Suspensions(ctx context.Context) ([]mail.Suspension, error) {
	return call[[]mail.Suspension](ctx, c, "suspensions", struct{}{})
}

// Export implements Service. What was written before an error is of no use.
func (c *Client) Export(ctx context.Context, a ExportAction, w io.Writer) error {
	body, err := json.Marshal(a)
	if err != nil {
		return err
	}
	resp, err := c.post(ctx, "export", bytes.NewReader(body))
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(w, resp.Body); err != nil {
		return fmt.Errorf("control socket %s: %w", c.path, err)
	}
	if text := resp.Trailer.Get(errorTrailer); text != "" {
		return &Refused{text}
	}
	return nil
}

// Import implements Service.
func (c *Client) Import(ctx context.Context, a ImportAction, r io.Reader) (Imported, error) {
	head, err := json.Marshal(a)
	if err != nil {
		return Imported{}, err
	}
	resp, err := c.post(ctx, "import", io.MultiReader(bytes.NewReader(append(head, '\n')), r))
	if err != nil {
		return Imported{}, err
	}
	defer resp.Body.Close()
	return receive[Imported](resp.Body)
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
	body, err := json.Marshal(q)
	if err != nil {
		return *new(A), err
	}
	resp, err := c.post(ctx, verb, bytes.NewReader(body))
	if err != nil {
		return *new(A), err
	}
	defer resp.Body.Close()
	return receive[A](resp.Body)
}

// post sends a request; what comes back was not an error.
func (c *Client) post(ctx context.Context, verb string, body io.Reader) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://postroad/v1/"+verb, body)
	if err != nil {
		return nil, err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, c.explain(err)
	}
	if resp.StatusCode == http.StatusOK {
		return resp, nil
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(io.LimitReader(resp.Body, 4096))
	return nil, fmt.Errorf("control socket %s: %s", c.path, strings.TrimSpace(string(text)))
}

// receive reads the answer to a request.
func receive[A any](body io.Reader) (A, error) {
	var out reply[A]
	if err := json.NewDecoder(body).Decode(&out); err != nil {
		return out.Value, fmt.Errorf("control socket: %w", err)
	}
	if out.Error != "" {
		return out.Value, &Refused{out.Error}
	}
	return out.Value, nil
}

func (c *Client) explain(err error) error {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) {
		return fmt.Errorf("%w (control socket %s); start one, or give the -c and the environment of the one that runs", ErrNotRunning, c.path)
	}
	return fmt.Errorf("control socket %s: %w", c.path, err)
}
