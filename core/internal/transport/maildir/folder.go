// SPDX-License-Identifier: Apache-2.0

package maildir

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"

	"github.com/postroad-mail/postroad/core/mail"
)

// maxReady bounds how many mailboxes are remembered.
const maxReady = 10000

// open opens a mailbox, with its folders on disk. Who finds a folder there need
// not be who made it, and who made it may have died before syncing it. So the
// first delivery into a mailbox syncs all folders on the way, and others wait
// for that.
func (t *Transport) open(boxes Mailboxes, to mail.Address, dir string) (*os.Root, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	key := boxes.Root + "\x00" + dir
	if t.ready[key] {
		if box, err := openBox(boxes.Root, dir); err == nil {
			return box, nil
		}
	}
	may := boxes.Create || boxes.lists(dir)
	box, err := t.prepare(boxes.Root, dir, may)
	if errors.Is(err, errMissing) && !may {
		return nil, errNoMailbox.Because(fmt.Errorf("%s: %w", to, err))
	}
	if err != nil {
		return nil, err
	}
	if len(t.ready) >= maxReady {
		clear(t.ready)
	}
	t.ready[key] = true
	return box, nil
}

func (t *Transport) forget(root, dir string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.ready, root+"\x00"+dir)
}

// errMissing says that a root has no such folder. A root that is missing itself
// is another matter: perhaps its disk is not mounted.
var errMissing = errors.New("no such folder")

func openBox(root, dir string) (*os.Root, error) {
	r, err := os.OpenRoot(root)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	box, err := r.OpenRoot(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: %w", errMissing, err)
	}
	return box, err
}

// prepare makes what is missing of a mailbox, if it may, and syncs the folders.
func (t *Transport) prepare(root, dir string, may bool) (*os.Root, error) {
	if may {
		if err := t.makeMailbox(root, dir); err != nil {
			return nil, err
		}
	}
	box, err := openBox(root, dir)
	if err != nil {
		return nil, err
	}
	if err := t.makeFolders(box); err != nil {
		box.Close()
		return nil, err
	}
	return box, nil
}

func (m Mailboxes) lists(dir string) bool {
	return slices.ContainsFunc(m.Listed, func(a string) bool {
		d, err := Path(mail.Address(a))
		return err == nil && d == dir
	})
}

func (t *Transport) makeMailbox(root, dir string) error {
	if err := t.makeRoot(root); err != nil {
		return err
	}
	r, err := os.OpenRoot(root)
	if err != nil {
		return err
	}
	defer r.Close()
	domain := path.Dir(dir)
	return errors.Join(mkdir(r, domain), mkdir(r, dir), t.syncDir(r, "."), t.syncDir(r, domain))
}

// makeFolders makes the folders of Maildir inside a mailbox.
func (t *Transport) makeFolders(box *os.Root) error {
	return errors.Join(mkdir(box, "tmp"), mkdir(box, "new"), mkdir(box, "cur"), t.syncDir(box, "."))
}

// mkdir makes a folder if it is not there.
func mkdir(root *os.Root, dir string) error {
	if err := root.Mkdir(dir, 0o700); !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}

// makeRoot makes the root and the folders above it that are missing.
func (t *Transport) makeRoot(root string) error {
	if _, err := os.Stat(root); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	parent := filepath.Dir(root)
	if err := t.makeRoot(parent); err != nil {
		return err
	}
	if err := os.Mkdir(root, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	f, err := os.Open(parent)
	if err != nil {
		return err
	}
	return errors.Join(t.fsync(f), f.Close())
}

func (t *Transport) syncDir(root *os.Root, dir string) error {
	f, err := root.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(t.fsync(f), f.Close())
}
